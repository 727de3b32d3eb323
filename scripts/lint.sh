#!/usr/bin/env bash
# Everything that judges the sources without running them.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

scripts/setup.sh --build
failed=0
step() {
  local name=$1
  shift
  if "$@"; then
    say "lint: $name: ok"
  else
    say "lint: $name: FAILED"
    failed=1
  fi
}

step fmt cargo fmt --all -- --check
step clippy cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
step tree cargo run --quiet --locked --package xtask -- lint
if command -v shellcheck >/dev/null; then
  mapfile -t shells < <(git ls-files --cached --others --exclude-standard -- '*.sh' .ci/run)
  step shellcheck shellcheck --severity=warning "${shells[@]}"
else
  say "lint: shellcheck: skipped, not installed"
fi
if cargo deny --version >/dev/null 2>&1; then
  step deny cargo deny --all-features check --hide-inclusion-graph bans licenses sources
  # The advisories come from elsewhere; without a network they cannot be judged, and that is no fault of the tree.
  if ! cargo deny check --hide-inclusion-graph advisories; then
    say "lint: advisories: not judged or not clean, see above"
    [ -n "${ADVISORIES_REQUIRED:-}" ] && failed=1
  fi
else
  say "lint: deny: skipped, cargo-deny is not installed (cargo install --locked cargo-deny)"
fi
exit $failed
