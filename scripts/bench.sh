#!/usr/bin/env bash
# `make bench`: builds release binaries and runs `interlock-bench all`. The arguments are its options (--quick, --rounds N,
# --at-most RATIO, ...).
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
exec "$target/release/interlock-bench" all "$@"
