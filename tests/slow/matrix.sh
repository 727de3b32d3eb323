#!/usr/bin/env bash
# Every cell of the matrix of clients and servers, of which `make test` runs a pairwise cover.
set -euo pipefail

exec "$PEERS_PY2/bin/python" "$(dirname "${BASH_SOURCE[0]}")/../e2e/matrix.py" --all
