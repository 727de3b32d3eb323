#!/usr/bin/env bash
# A claim about a real session is judged by other implementations: the TRACE conformance suite and the reference library
# (tests/foreign/trace.sh). The same claim with one character changed must not pass.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
claims=$SUITE_TMP/claims

PYTHONPATH=$here "$PEERS_PY2/bin/python" - "$claims" <<'PYTHON'
import os, sys

from project import Project, check, code_of, fake

project = Project({"fake": fake(os.environ["SUITE_TMP"] + "/effects")}, policy="open")
project.approve_all("--effects", "fake/effect=write")
key = project.agent()
project.start()
try:
    client = project.client(key)
    for n in range(5):
        assert code_of(client.call("fake__effect", id=str(n))) is None
    assert code_of(client.call("fake__nothing")) == "unknown_tool"
    issued = project.interlock("claim", "issue", "--out", sys.argv[1])["claims"]
    check(f"a claim about {issued[0]['calls']} calls", len(issued) == 1 and issued[0]["calls"] >= 5, issued)
finally:
    project.stop()
PYTHON

record=$(ls "$claims"/session-*.json)
code=0
"$here/../foreign/trace.sh" "$record" "$claims/claim.key" || code=$?
if [ "$code" = 3 ]; then
  echo "the foreign packages could not be installed"
  exit 77
fi
[ "$code" = 0 ]
echo "ok  other implementations accept it"

changed=$SUITE_TMP/changed.json
sed 's/"call_count":\([0-9]*\)/"call_count":1\1/' "$record" >"$changed"
if cmp -s "$record" "$changed"; then
  echo "nothing was changed"
  exit 1
fi
code=0
"$here/../foreign/trace.sh" "$changed" "$claims/claim.key" >"$SUITE_TMP/changed.out" 2>&1 || code=$?
# Each of them, and for the signature.
if [ "$code" != 1 ] || ! grep -q "TR-SIG *FAIL" "$SUITE_TMP/changed.out" || ! grep -q "InvalidSignature" "$SUITE_TMP/changed.out"; then
  cat "$SUITE_TMP/changed.out"
  exit 1
fi
echo "ok  they refuse it once it is changed"
