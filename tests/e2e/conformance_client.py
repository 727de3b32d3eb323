#!/usr/bin/env python3
"""The client scenarios of the official MCP conformance suite: its own server behind the gateway, and a host that uses everything
before it (`tests/conformance/driver.py`). All of them pass; the scenarios about OAuth are left out, since the gateway is no OAuth
client, and how many that are is printed."""

import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

from project import NODE, NPM

HERE = pathlib.Path(__file__).resolve().parent.parent / "conformance"
SUITE = pathlib.Path(NPM) / "node_modules/@modelcontextprotocol/conformance/dist/index.js"
REVISIONS = ("2025-11-25", "2026-07-28")


def scenarios(revision):
    """The client scenarios that a revision has."""
    listed = subprocess.run([NODE, str(SUITE), "list", "--requirements", revision], capture_output=True, text=True, timeout=60)
    found, within = [], False
    for line in listed.stdout.splitlines():
        if line and not line.startswith(" "):
            within = "client" in line.lower()
        named = re.match(r"\s+-\s+(\S+)", line)
        if named and (within or "[client]" in line):
            found.append(named.group(1))
    assert found, listed.stdout + listed.stderr
    return found


def run(revision, scenario, out):
    """One scenario: what failed in it, or None if there was nothing to fail."""
    command = [NODE, str(SUITE), "client", "--command", f"{sys.executable} {HERE / 'driver.py'}", "--scenario", scenario]
    command += ["--spec-version", revision, "--timeout", "60000", "-o", str(out)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    checks = [check for path in out.rglob("checks.json") for check in json.loads(path.read_text())]
    if not any(check["status"] in ("SUCCESS", "FAILURE") for check in checks):
        return [f"no check was made:\n{done.stdout[-3000:]}\n{done.stderr[-2000:]}"]
    return [f"{check['id']}: {check.get('errorMessage')}" for check in checks if check["status"] == "FAILURE"]


def main():
    begun, scratch = time.monotonic(), pathlib.Path(tempfile.mkdtemp(dir=os.environ.get("SUITE_TMP")))
    every = [(revision, scenario) for revision in REVISIONS for scenario in scenarios(revision)]
    chosen = [(revision, scenario) for revision, scenario in every if not scenario.startswith("auth/")]
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        runs = {pool.submit(run, *each, scratch / "-".join(each)): each for each in chosen}
        for done in concurrent.futures.as_completed(runs):
            revision, scenario = runs[done]
            wrong = done.result()
            failed += bool(wrong)
            print(f"{'FAIL' if wrong else 'ok  '} {revision} {scenario}", *wrong, sep="\n     ", flush=True)
    print(
        f"{len(chosen) - failed} client scenarios passed, {failed} failed in {time.monotonic() - begun:.0f} s; "
        f"{len(every) - len(chosen)} about OAuth left out"
    )
    sys.exit(1 if failed else 0)


main()
