#!/usr/bin/env bash
# `make fuzz`: every fuzz target for FUZZ_SECONDS (30), from the seeds in fuzz/seeds and what earlier runs found. Names as
# arguments run only those. Runs on the pinned stable toolchain: sanitizer coverage is asked for through RUSTC_BOOTSTRAP.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

version=0.13.2
seconds=${FUZZ_SECONDS:-30}
scripts/setup.sh --build
command -v c++ >/dev/null || die "fuzz: a C++ compiler is missing (Debian: g++)"
if ! cargo fuzz --version >/dev/null 2>&1; then
  say "fuzz: building cargo-fuzz $version (once)"
  mkdir -p "$tools"
  cargo install --locked --quiet --root "$tools" --version "$version" cargo-fuzz || die "fuzz: cargo-fuzz could not be installed"
fi
export RUSTC_BOOTSTRAP=1
# One target directory for the fuzzers; instrumented code is of no use to other builds.
unset CARGO_TARGET_DIR

targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(cargo fuzz list)
say "fuzz: building ${#targets[@]} targets"
cargo fuzz build >/dev/null

passed=0 failed=0
for name in "${targets[@]}"; do
  mkdir -p "fuzz/corpus/$name" "fuzz/seeds/$name"
  say "fuzz: $name for $seconds s"
  log=fuzz/target/$name.log
  if cargo fuzz run "$name" "fuzz/corpus/$name" "fuzz/seeds/$name" -- \
    -max_total_time="$seconds" -max_len=16384 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 >"$log" 2>&1; then
    passed=$((passed + 1))
    grep -aE 'stat::number_of_executed_units|stat::average_exec_per_sec' "$log" | sed "s/^/fuzz: $name: /"
  else
    failed=$((failed + 1))
    say "fuzz: $name FAILED; the end of $log:"
    tail -n 30 "$log"
  fi
done
say "fuzz: $passed passed, $failed failed"
[ $failed = 0 ]
