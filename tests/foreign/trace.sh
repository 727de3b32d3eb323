#!/bin/sh
# Has other implementations judge one of our claims: the TRACE conformance suite at level 0 and the
# reference library, which checks the schema and the signature under the key given.
#
#   trace.sh RECORD KEY        RECORD: record.json; KEY: a file with the base64 of the Ed25519 public key
#
# Exit: 0 both accept it, 1 one of them refuses, 2 usage, 3 the packages could not be installed.
# `cargo run -p interlock-claim --example record -- DIR` writes both files.
set -eu

if [ $# -ne 2 ] || [ ! -f "$1" ] || [ ! -f "$2" ]; then
    echo "usage: trace.sh RECORD KEY" >&2
    exit 2
fi
record=$1 key=$2
here=$(cd "$(dirname "$0")" && pwd)
venv=$here/../../.cache/trace-venv
wanted=$here/trace.requirements.txt

# The environment is built once for each version of the list.
if ! cmp -s "$wanted" "$venv/installed.txt"; then
    rm -rf "$venv"
    mkdir -p "$(dirname "$venv")"
    python3 -m venv "$venv" || exit 3
    "$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$wanted" || exit 3
    cp "$wanted" "$venv/installed.txt"
fi

failed=0
echo "conformance suite, level 0:"
"$venv/bin/trace-tests" verify --record "$record" --level 0 || failed=1

echo "reference library:"
"$venv/bin/python" - "$record" "$key" <<'PYTHON' || failed=1
import base64, copy, json, sys

from agentrust_trace import validate, verify_record

record = json.load(open(sys.argv[1], encoding="utf-8"))
raw = base64.b64decode(open(sys.argv[2], encoding="utf-8").read().strip(), validate=True)
jwk = {"kty": "OKP", "crv": "Ed25519", "x": base64.urlsafe_b64encode(raw).rstrip(b"=").decode()}

validate.validate_json(record)
print("  ok      schema")
verify_record(record, jwk)
print("  ok      signature under the trusted key")

# A check that accepts everything would prove nothing.
changed = copy.deepcopy(record)
changed["tool_transcript"]["call_count"] += 1
try:
    verify_record(changed, jwk)
except Exception as refusal:
    print(f"  ok      a changed record is refused ({type(refusal).__name__})")
else:
    sys.exit("  FAILED  a changed record was accepted")
PYTHON
exit $failed
