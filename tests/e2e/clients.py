#!/usr/bin/env python3
"""The official Python and TypeScript MCP SDK clients list and call the tools of third-party servers through `/mcp`,
through `/mcp/{server}` and through `interlock stdio`, and get what they get from the servers directly."""

import json
import os
import pathlib
import subprocess
import sys

from project import NODE, NPM, PEERS, PY1, PY2, Project, check, clock, filesystem, memory, sqlite

root = pathlib.Path(os.environ["SUITE_TMP"]) / "clients"
work = root / "work"
work.mkdir(parents=True)
(work / "hello.txt").write_text("hello, world\n")

SERVERS = {
    "files": filesystem(work),
    "memory": memory(root / "memory.json"),
    "db": sqlite(root / "test.db"),
    "clock": clock(),
}
CALLS = {
    "files": [
        ("read_text_file", {"path": str(work / "hello.txt")}),
        ("list_directory", {"path": str(work)}),
        ("read_text_file", {"path": "/etc/passwd"}),  # outside: the server itself says no
    ],
    "memory": [("read_graph", {})],
    "db": [("read_query", {"query": "SELECT 40 + 2 AS n"}), ("list_tables", {})],
    "clock": [("convert_time", {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"})],
}
CLIENTS = {
    "python sdk 2": [f"{PY2}/bin/python", str(PEERS / "client.py")],
    "python sdk 2, legacy": [f"{PY2}/bin/python", str(PEERS / "client.py"), "--mode", "legacy"],
    "python sdk 1": [f"{PY1}/bin/python", str(PEERS / "client.py")],
    "typescript sdk 1": [NODE, str(PEERS / "client.mjs"), "--sdk", "v1"],
    "typescript sdk 2": [NODE, str(PEERS / "client.mjs"), "--sdk", "v2"],
    "typescript sdk 2, modern": [NODE, str(PEERS / "client.mjs"), "--sdk", "v2", "--mode", "modern"],
}


def lines(client, target, calls):
    args = [part for name, arguments in calls for part in ("--call", name, json.dumps(arguments))]
    done = subprocess.run([*client, *args, *target], capture_output=True, text=True, timeout=120, env={**os.environ, "PEERS_NPM": NPM})
    assert done.returncode == 0, f"{client} {target}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return [json.loads(line) for line in done.stdout.splitlines()]


def of(kind, found, prefix=""):
    """Tools and results, whatever the era dressed them in."""
    chosen = [line for line in found if line["kind"] == kind]
    for line in chosen:
        result = line.get("result") or {}
        for member in ("resultType", "_meta"):
            result.pop(member, None)
        if kind == "tool":
            assert line["tool"]["name"].startswith(prefix)
            line["tool"]["name"] = line["tool"]["name"].removeprefix(prefix)
        else:
            line["name"] = line["name"].removeprefix(prefix)
    return sorted((json.dumps(line, sort_keys=True) for line in chosen)) if kind == "tool" else chosen


project = Project(SERVERS, policy="open")
project.approve_all()
key = project.agent()
project.start()
try:
    for name, client in CLIENTS.items():
        everything = [(f"{server}__{tool}", arguments) for server, calls in CALLS.items() for tool, arguments in calls]
        http = ["--url", project.url, "--header", f"Authorization: Bearer {key}"]
        stdio = ["--env", f"INTERLOCK_AGENT_KEY={key}", "--stdio", *project.command("stdio")]
        through_http, through_stdio = lines(client, http, everything), lines(client, stdio, everything)
        for server, calls in CALLS.items():
            spec = SERVERS[server]
            # These servers speak the older protocol only: a client that insists on the newer one is compared with itself in
            # the other mode, by its answers.
            direct_client = CLIENTS[name.removesuffix(", modern")]
            env = [part for pair in spec.get("env", {}).items() for part in ("--env", "=".join(pair))]
            direct = lines(direct_client, [*env, "--stdio", spec["command"], *spec["args"]], calls)
            prefix = f"{server}__"
            for way, found in (("/mcp", through_http), ("interlock stdio", through_stdio)):
                mine = [line for line in found if (line.get("tool") or line).get("name", "").startswith(prefix)]
                assert of("call", mine, prefix) == of("call", direct), f"{name} {way} {server}: {of('call', mine, prefix)}\nis not\n{of('call', direct)}"
                if direct_client is client:
                    assert of("tool", mine, prefix) == of("tool", direct), f"{name} {way} {server}: the tools differ"
            check(f"{name}: `{server}` through /mcp and stdio is what it is directly", True)
        one = lines(client, ["--url", f"{project.url}/files", "--header", f"Authorization: Bearer {key}"], CALLS["files"])
        check(f"{name}: /mcp/files renames nothing", any(t["tool"]["name"] == "read_text_file" for t in one if t["kind"] == "tool"))
    verified = project.interlock("ledger", "verify")
    check("the ledger verifies", verified["verified"], verified)
finally:
    project.stop()
sys.exit(0)
