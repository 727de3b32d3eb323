#!/usr/bin/env bash
# `make demo`: sets up, builds and runs `interlock demo`; headless by itself where there is no terminal. Its files stay in DIR.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

dir=${1:-demo-out}
scripts/setup.sh --build
peers=$(scripts/peers.sh)
eval "$peers"
if [ -z "${INTERLOCK_BIN:-}" ]; then
  say "demo: building interlock (the first time takes some minutes)"
  cargo build --locked --package interlock
fi
flags=()
if ! [ -t 0 ] || ! [ -t 1 ] || [ -n "${CI:-}" ]; then
  flags+=(--headless)
fi
exec "$(interlock_bin)" demo "${flags[@]}" --dir "$dir"
