# Every target works on its own on a Debian-like machine that has a Rust toolchain; scripts/setup.sh brings the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all lint fmt bench eval screenshots fuzz

DEMO_DIR ?= demo-out

help: ## List the targets
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24
	@printf '\nSettings: DEMO_DIR=%s  FUZZ_SECONDS=30  BENCH_FLAGS=--quick  INTERLOCK_BIN=PATH\n' '$(DEMO_DIR)'

setup: ## Install what is missing (apt, cargo-nextest); other targets do it by themselves
	@scripts/setup.sh

demo: ## A real run: real MCP servers, an agent, decisions, an approval, proof; files stay in DEMO_DIR
	@scripts/demo.sh '$(DEMO_DIR)'

test: ## Formatting, lints, checks of the tree, all tests, end-to-end runs
	@scripts/test.sh

test-all: ## The same, then the whole matrix of clients and servers, short fuzzing, a short benchmark and the demo
	@scripts/test.sh
	@SUITE_TIMEOUT=$${SUITE_TIMEOUT:-3600} scripts/suite.sh slow tests/slow
	@FUZZ_SECONDS=$${FUZZ_SECONDS:-10} scripts/fuzz.sh
	@scripts/bench.sh --quick --dry-run
	@scripts/demo.sh '$(DEMO_DIR)'

lint: ## Formatting, clippy, checks of the tree, shellcheck and cargo-deny where installed
	@scripts/lint.sh

fmt: ## Format the Rust sources
	@cargo fmt --all

bench: ## Benchmarks beside a floor; writes docs/performance.md
	@scripts/bench.sh $(BENCH_FLAGS)

eval: ## What the detectors and policies catch, and what they miss
	@scripts/suite.sh eval tests/eval

screenshots: ## Pictures for the documentation
	@scripts/suite.sh screenshots scripts/screenshots

fuzz: ## Each fuzz target for FUZZ_SECONDS
	@scripts/fuzz.sh
