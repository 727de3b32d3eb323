#!/usr/bin/env bash
# `make bench`: builds release binaries, runs `interlock-bench all`, and measures what the gateway holds (`bench/held.py`). The
# arguments are options of the former (--quick, --rounds N, --at-most RATIO, ...).
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

scripts/setup.sh --build
if [ -z "${INTERLOCK_BIN:-}" ]; then
  say "bench: building release binaries (the first time takes some minutes)"
  # First the one that counts allocations: only the last crate differs, and the plain build then takes its place.
  cargo build --release --locked --package interlock --features count-allocations
  mkdir -p "$target/bench"
  cp "$target/release/interlock" "$target/bench/interlock-counting"
  cargo build --release --locked --package interlock
  # Copies, so that a build that runs meanwhile does not change what is measured.
  cp "$target/release/interlock" "$target/bench/interlock"
  export INTERLOCK_BIN=$target/bench/interlock
  export INTERLOCK_COUNTING_BIN=$target/bench/interlock-counting
fi
cargo build --release --locked --package interlock-bench
"$target/release/interlock-bench" all "$@"
cargo build --release --locked --package interlock-testkit --bin interlock-fake-server
INTERLOCK_FAKE_SERVER=$target/release/interlock-fake-server python3 bench/held.py --write
