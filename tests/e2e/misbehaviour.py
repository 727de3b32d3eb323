#!/usr/bin/env python3
"""Servers and clients that misbehave: each gets a clear answer with a stable code, in bounded memory and time."""

import json
import os
import pathlib
import resource
import socket
import sys
import threading
import time

from project import Client, Project, check, code_of, fake

root = os.environ["SUITE_TMP"]
settings = "\n[limits]\ncall_timeout_seconds = 2\nresult_bytes = 1048576\n"
project = Project({"fake": fake(f"{root}/effects"), "other": fake(f"{root}/other")}, policy="open", settings=settings)
project.interlock("catalog", "scan")
# The two offer the same names; that is what has to be accepted.
project.interlock("catalog", "approve", "fake", "other/peek", "--yes", "--accept", "same-name:fake/peek")
key = project.agent()
project.start()


def memory_mib(which="VmRSS"):
    status = pathlib.Path(f"/proc/{project.daemon.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith(which)).split()[1]) / 1024


try:
    client = project.client(key)
    for tool, code in (("die", "upstream_closed"), ("half", "upstream_closed"), ("hang", "upstream_timeout"), ("nonsense", "upstream_timeout")):
        project.wait_ready()
        begun = time.monotonic()
        answer = client.call(f"fake__{tool}")
        took = time.monotonic() - begun
        assert took < 10, f"{tool} took {took:.1f} s"
        check(f"a server that does `{tool}`: {code_of(answer)} after {took:.1f} s", code_of(answer) in (code, "upstream_invalid"), answer)
        check(f"... and another server goes on", code_of(client.call("other__peek", id="1")) is None)
    project.wait_ready()
    for tool, text in (("twice", "first"), ("stranger", "yours"), ("garbage", "after the garbage")):
        answer = client.call(f"fake__{tool}")
        check(f"a server that does `{tool}`: the right answer", answer["result"]["content"][0]["text"] == text, answer)
        check("... and the next call gets its own", code_of(client.call("fake__peek", id="1")) is None)
    before = memory_mib()
    answer = client.call("fake__big", bytes=100 << 20)
    check(f"100 MB of answer: {code_of(answer)}", code_of(answer) == "upstream_too_large", str(answer)[:300])
    most = memory_mib("VmHWM")
    check(f"... in bounded memory ({before:.0f} MiB before, {most:.0f} at most)", most - before < 32, most)
    project.wait_ready()

    for what, body, code in (
        ("not JSON", b"{", "malformed"),
        ("nothing", b"", "malformed"),
        ("duplicate keys", b'{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/list"}', "duplicate_member"),
        ("a reserved member in another case", b'{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/list"}', "duplicate_member"),
        ("65 levels", b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":' + b"[" * 65 + b"]" * 65 + b"}}", "too_deep"),
        ("a wrong type", b'{"jsonrpc":"2.0","id":1,"method":7}', "malformed"),
        ("5 MiB", b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"' + b"x" * (5 << 20) + b'"}}', "too_large"),
        ("not UTF-8", b'{"jsonrpc":"2.0","id":1,"method":"\xff"}', "malformed"),
    ):
        status, answer = project.client(key).post(body)
        found = json.loads(answer)["error"]["data"]["code"]
        check(f"a request that is {what}: {status} {found}", found == code and status >= 400, answer)
    answer = client.request("resources/teleport")
    check(f"an unknown method: {code_of(answer)}", code_of(answer) == "unknown_method", answer)
    status, answer = project.client("ilk_" + "0" * 64).post(b'{"jsonrpc":"2.0","id":1,"method":"ping"}')
    check("a wrong key: 401", status == 401 and json.loads(answer)["error"]["data"]["code"] == "unauthenticated", answer)
    status, answer = project.client().post(b'{"jsonrpc":"2.0","id":1,"method":"ping"}')
    check("no key: 401", status == 401 and json.loads(answer)["error"]["data"]["code"] == "unbound_refused", answer)
    status, answer = project.client(key).post(b"{}", {"Host": "evil.example"})
    check("another Host: 403", status == 403 and b"allowed_hosts" in answer, answer)
    status, answer = project.client(key).post(b"{}", {"Origin": "https://evil.example"})
    check("another Origin: 403", status == 403 and b"allowed_origins" in answer, answer)

    # A fresh process: what an earlier peak left free would hide what connections cost.
    project.stop()
    project.start()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(10_000, hard - 200)
    before = memory_mib()
    silent = []
    descriptors = f"/proc/{project.daemon.pid}/fd"
    for _ in range(count):
        sock = socket.socket()
        sock.connect(("127.0.0.1", project.port))
        silent.append(sock)
        if len(silent) % 100 == 0:
            # The system's queue of unaccepted connections is short; one that overflows costs a second.
            while len(os.listdir(descriptors)) < len(silent):
                time.sleep(0.001)
    good = project.client(key)
    check(f"{count} connections that say nothing: others are served", code_of(good.call("other__peek", id="1")) is None)
    each = (memory_mib() - before) * 1024 / count
    check(f"... and cost {each:.1f} KiB each", each < 40, each)
    silent[0].settimeout(30)
    check("... and are closed", silent[0].recv(1) == b"")
    for sock in silent:
        sock.close()

    outcomes = {}
    for entry in project.interlock("ledger", "search", "--kind", "outcome", "--limit", "1000"):
        status = entry["entry"]["event"]["outcome"]["status"]
        outcomes[status] = outcomes.get(status, 0) + 1
    check(f"every forwarded call has its outcome: {outcomes}", outcomes.get("failed", 0) >= 4 and outcomes.get("ok", 0) >= 4)
    verified = project.interlock("ledger", "verify")
    check("the ledger verifies", verified["verified"] and verified["open_calls"] == 0, verified)
finally:
    project.stop()
sys.exit(0)
