# Sourced by the other scripts: where things are, one way to speak, the pinned tools.
# shellcheck shell=bash
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
target=${CARGO_TARGET_DIR:-$root/target}
tools=$root/.cache/tools
export PATH=$tools/bin:$PATH

say() { printf '%s\n' "$*"; }
die() {
  printf '%s\n' "$*" >&2
  exit 2
}

# The pinned toolchain, or another that is the same version under another name: where rustup cannot download, a machine's own
# `stable` may well be it.
pinned=$(sed -nE 's/^channel *= *"(.*)"/\1/p' rust-toolchain.toml)
if ! cargo --version >/dev/null 2>&1; then
  command -v rustup >/dev/null || die "Rust is missing: install it with rustup, then run this again"
  for toolchain in $(rustup toolchain list | cut -d' ' -f1); do
    if [ "$(rustup run "$toolchain" rustc --version 2>/dev/null | cut -d' ' -f2)" = "$pinned" ]; then
      export RUSTUP_TOOLCHAIN=$toolchain
      break
    fi
  done
  cargo --version >/dev/null 2>&1 || die "Rust $pinned is missing: run \`rustup toolchain install $pinned\`, then run this again"
fi

# The processes of these scripts share one target directory; debug builds.
interlock_bin() { printf '%s' "${INTERLOCK_BIN:-$target/debug/interlock}"; }
