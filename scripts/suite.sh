#!/usr/bin/env bash
# suite.sh NAME DIR: runs every executable *.sh and *.py of DIR, one after the other, and sums up. A script passes by exiting
# with 0; 77 means that it could not run here and says why in its last line. Each has SUITE_TIMEOUT seconds (600), a fresh
# SUITE_TMP, the built binary in INTERLOCK_BIN and the pinned peers in PEERS_*; its output is kept in target/suites/NAME/.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

name=$1
dir=$2
limit=${SUITE_TIMEOUT:-600}
logs=$target/suites/$name

shopt -s nullglob
scripts=()
for script in "$dir"/*.sh "$dir"/*.py; do
  [ -x "$script" ] && scripts+=("$script")
done
if [ ${#scripts[@]} = 0 ]; then
  say "$name: nothing to run in $dir"
  exit 0
fi

if [ -z "${PEERS_NPM:-}" ]; then
  scripts/setup.sh --build
  peers=$(scripts/peers.sh)
  eval "$peers"
fi
if [ -z "${INTERLOCK_BIN:-}" ]; then
  cargo build --quiet --locked --workspace --bins
  INTERLOCK_BIN=$(interlock_bin)
fi
export INTERLOCK_BIN

# Ends what a script left running: processes that were started with a path in its own SUITE_TMP, and no others.
sweep() {
  local process left=()
  for process in /proc/[0-9]*; do
    if grep -qaF -- "$1" "$process/cmdline" "$process/environ" 2>/dev/null && [ "${process#/proc/}" != $$ ]; then
      left+=("${process#/proc/}")
    fi
  done
  [ ${#left[@]} = 0 ] && return
  say "  $base left ${#left[@]} processes running; they are ended now"
  kill -KILL "${left[@]}" 2>/dev/null || true
}

rm -rf "$logs"
mkdir -p "$logs"
passed=0 failed=0 skipped=0
for script in "${scripts[@]}"; do
  base=$(basename "$script")
  log=$logs/$base.log
  SUITE_TMP=$(mktemp -d)
  # Python scripts run in the venv of the client SDK, so that they can use it.
  command=("$script")
  [[ $script == *.py ]] && command=("$PEERS_PY2/bin/python" "$script")
  begun=$SECONDS code=0
  SUITE_TMP=$SUITE_TMP timeout --kill-after=10 "$limit" "${command[@]}" >"$log" 2>&1 </dev/null || code=$?
  took=$((SECONDS - begun))
  case $code in
    0)
      passed=$((passed + 1))
      say "  PASS [$took s] $name $base"
      ;;
    77)
      skipped=$((skipped + 1))
      say "  SKIP [$took s] $name $base: $(tail -n 1 "$log")"
      ;;
    *)
      failed=$((failed + 1))
      [ "$code" = 124 ] && say "  TIMEOUT after $limit s: $name $base"
      say "  FAIL [$took s] $name $base (exit code $code); the end of $log:"
      tail -n 40 "$log" | sed 's/^/    | /'
      ;;
  esac
  sweep "$SUITE_TMP"
  rm -rf "$SUITE_TMP"
done
say "$name: $passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
