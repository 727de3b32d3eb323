#!/usr/bin/env bash
# `make test`: everything that must hold before a change lands, in one run, each suite once.
#
# Later steps run although an earlier one failed, so that one run tells all; only a build that fails ends it. The last line is
# `total: N passed, N failed`, over tests, end-to-end runs and the checks before them.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

begun=$SECONDS
passed=0 failed=0
failures=()
logs=$target/test-logs
mkdir -p "$logs"

heading() { printf '\n== %s\n' "$*"; }

# A step that counts as one: it passes or fails as a whole.
check() {
  local name=$1 at=$SECONDS
  shift
  heading "$name"
  if "$@"; then
    passed=$((passed + 1))
    say "$name: ok in $((SECONDS - at)) s"
  else
    failed=$((failed + 1))
    failures+=("$name")
    say "$name: FAILED after $((SECONDS - at)) s"
  fi
}

# The numbers that stand before certain words, added up: `sum "passed" FILE`.
sum() {
  awk -v words="^($1)[,;.]?$" '{ for (i = 2; i <= NF; i++) if ($i ~ words && $(i - 1) ~ /^[0-9]+$/) n += $(i - 1) } END { print n + 0 }' "$2"
}

# Counts what a runner's own closing lines say: nextest's summary, cargo test's results, a suite's last line. A runner that
# failed without saying that anything did counts as one failure.
add_up() {
  local name=$1 log=$2 code=$3 bad
  bad=$(sum "failed|timed|exec" "$log")
  if [ "$code" != 0 ] && [ "$bad" = 0 ]; then
    bad=1
  fi
  passed=$((passed + $(sum "passed" "$log"))) failed=$((failed + bad))
  [ "$bad" = 0 ] || failures+=("$name")
}

finish() {
  heading "result"
  if [ "$failed" = 0 ]; then
    say "make test: all passed in $((SECONDS - begun)) s"
  else
    say "make test: failed after $((SECONDS - begun)) s: ${failures[*]}"
  fi
  say "total: $passed passed, $failed failed"
  [ "$failed" = 0 ]
  exit
}

heading "setup"
scripts/setup.sh
# The peers install while the sources compile.
scripts/peers.sh >"$logs/peers.env" 2>"$logs/peers.log" &
peers_job=$!

check "formatting" cargo fmt --all -- --check
check "clippy" cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
check "checks of the tree" cargo run --quiet --locked --package xtask -- lint

heading "build"
at=$SECONDS
if ! cargo build --workspace --all-targets --locked --quiet; then
  failed=$((failed + 1))
  failures+=("build")
  wait $peers_job || true
  finish
fi
say "build: ok in $((SECONDS - at)) s"

heading "tests"
code=0
if cargo nextest --version >/dev/null 2>&1; then
  cargo nextest run --workspace --locked --cargo-quiet 2>&1 | tee "$logs/tests.log" || code=$?
  # Doc examples are no business of nextest's.
  cargo test --workspace --locked --quiet --doc >"$logs/doc-tests.log" 2>&1 || {
    cat "$logs/doc-tests.log"
    failed=$((failed + 1))
    failures+=("doc-examples")
  }
else
  cargo test --workspace --locked --quiet --no-fail-fast 2>&1 | tee "$logs/tests.log" || code=$?
fi
# nextest gives its summary once more where something failed: only the last one counts.
if grep -qa 'Summary \[' "$logs/tests.log"; then
  grep -a 'Summary \[' "$logs/tests.log" | tail -n 1 >"$logs/tests.summary"
else
  grep -a '^test result:' "$logs/tests.log" >"$logs/tests.summary" || true
fi
add_up "tests" "$logs/tests.summary" "$code"

check "documentation" env RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet

heading "end to end"
if wait $peers_job; then
  # shellcheck disable=SC1091
  source "$logs/peers.env"
  INTERLOCK_BIN=$(interlock_bin)
  export INTERLOCK_BIN
  code=0
  scripts/suite.sh e2e tests/e2e 2>&1 | tee "$logs/e2e.log" || code=$?
  tail -n 1 "$logs/e2e.log" >"$logs/e2e.summary"
  add_up "end-to-end" "$logs/e2e.summary" "$code"
else
  cat "$logs/peers.log"
  failed=$((failed + 1))
  failures+=("peers")
fi

finish
