#!/usr/bin/env bash
# Installs what is missing to build and test on a Debian-like machine that has Rust, and says what it does. Does nothing, and
# quickly, where all is there. `--build` for what a build needs only, without the tools of the tests.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

nextest=0.9.143
scope=${1:-all}
packages=()

want() { packages+=("$1"); }
command -v cc >/dev/null || want gcc
# A compiler without the C library's headers builds nothing.
[ -e /usr/include/stdio.h ] || want libc6-dev
command -v git >/dev/null || want git
command -v node >/dev/null || want nodejs
command -v npm >/dev/null || want npm
command -v flock >/dev/null || want util-linux
command -v python3 >/dev/null || want python3
python3 -c 'import venv, ensurepip' 2>/dev/null || want python3-venv

if [ ${#packages[@]} -gt 0 ]; then
  command -v apt-get >/dev/null || die "setup: missing: ${packages[*]} (Debian's names); there is no apt-get here, so install them yourself and run this again"
  as_root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || die "setup: missing: ${packages[*]}; run \`apt-get install ${packages[*]}\` as root, then run this again"
    as_root=(sudo)
  fi
  say "setup: installing ${packages[*]} with apt-get"
  mkdir -p .cache
  {
    "${as_root[@]}" apt-get update -q &&
      "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${packages[@]}"
  } >.cache/apt.log 2>&1 || {
    tail -n 15 .cache/apt.log >&2
    die "setup: apt-get could not install ${packages[*]}; the whole log is .cache/apt.log"
  }
fi

for component in fmt clippy; do
  cargo "$component" --version >/dev/null 2>&1 || {
    say "setup: adding the Rust component $component"
    rustup component add "${component/fmt/rustfmt}" >/dev/null 2>&1 || die "setup: \`cargo $component\` is missing and rustup could not add it"
  }
done

if [ "$scope" = all ] && ! cargo nextest --version >/dev/null 2>&1; then
  say "setup: building cargo-nextest $nextest (once; some minutes)"
  mkdir -p "$tools"
  if cargo install --locked --quiet --root "$tools" --version "$nextest" cargo-nextest >.cache/nextest.log 2>&1; then
    say "setup: built cargo-nextest"
  else
    say "setup: cargo-nextest could not be built (.cache/nextest.log); cargo test will do"
  fi
fi
