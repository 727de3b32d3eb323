#!/usr/bin/env python3
"""The official MCP conformance suite against the gateway, in front of a reference server that passes all of it.

Every server scenario of each revision runs through `/mcp/reference`. `tests/conformance/failing.txt` names the scenarios
that do not pass yet, `REVISION SCENARIO` on a line; the list may only shrink: a scenario that fails and is not in it fails
here, and so does one that is in it and passes. `conformance.py --write` writes the list anew.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from urllib.request import urlopen
from urllib.error import HTTPError, URLError

from project import NODE, NPM, Project, free_port

HERE = pathlib.Path(__file__).resolve().parent.parent / "conformance"
FAILING = HERE / "failing.txt"
# Which scenarios a revision has: those that the suite calls its requirements, or before it had those, all that it has.
REVISIONS = {
    "2025-03-26": ["--spec-version", "2025-03-26", "--suite", "all"],
    "2025-06-18": ["--spec-version", "2025-06-18", "--suite", "all"],
    "2025-11-25": ["--requirements", "2025-11-25"],
    "2026-07-28": ["--requirements", "2026-07-28"],
}
SCENARIO_MS = "8000"


def reference(directory):
    """Starts the reference server; modules are found from the folder that a script is in."""
    (directory / "node_modules").symlink_to(pathlib.Path(NPM) / "node_modules")
    shutil.copy(HERE / "reference.mjs", directory)
    port = free_port()
    with open(directory / "reference.log", "wb") as log:
        server = subprocess.Popen(
            [NODE, str(directory / "reference.mjs"), "--port", str(port)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    deadline = time.monotonic() + 30
    while True:
        try:
            urlopen(f"http://127.0.0.1:{port}/", timeout=5)
        except HTTPError:
            break
        except (URLError, OSError):
            assert server.poll() is None and time.monotonic() < deadline, (directory / "reference.log").read_text()
            time.sleep(0.05)
    return server, f"http://127.0.0.1:{port}/mcp"


def scenarios(url, revision, out):
    """Runs the scenarios of one revision: which passed, which failed, what they said. One without a result is left out."""
    suite = pathlib.Path(NPM) / "node_modules/@modelcontextprotocol/conformance/dist/index.js"
    command = [NODE, str(suite), "server", "--url", url, *REVISIONS[revision], "--timeout", SCENARIO_MS, "-o", str(out)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=400)
    passed, failed = set(), {}
    for path in out.rglob("checks.json"):
        name = re.sub(r"^server-|-\d{4}-\d{2}-\d{2}T[\d-]+Z?$", "", path.parent.name)
        checks = json.loads(path.read_text())
        wrong = [check for check in checks if check["status"] == "FAILURE"]
        if wrong:
            failed[f"{revision} {name}"] = wrong[0].get("errorMessage") or wrong[0].get("id", "")
        elif any(check["status"] == "SUCCESS" for check in checks):
            passed.add(f"{revision} {name}")
    assert passed, f"the suite gave no results for {revision}:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return passed, failed


def main():
    scratch = pathlib.Path(tempfile.mkdtemp(dir=os.environ.get("SUITE_TMP")))
    server, url = reference(scratch)
    # The suite sends no key, so its calls are those of `unbound`; the open policy lets it call everything.
    project = Project({"reference": {"type": "http", "url": url}}, policy="open", settings="allow_unbound = true\n")
    try:
        project.approve_all()
        project.interlock("stop")
        project.start()
        passed, failed = set(), {}
        for revision in REVISIONS:
            begun = time.monotonic()
            good, bad = scenarios(f"http://127.0.0.1:{project.port}/mcp/reference", revision, scratch / revision)
            print(f"{revision}: {len(good)} scenarios passed, {len(bad)} failed, {time.monotonic() - begun:.0f} s", flush=True)
            passed |= good
            failed |= bad
    finally:
        project.stop()
        server.kill()
    if "--write" in sys.argv:
        FAILING.write_text("".join(f"{name}\n" for name in sorted(failed)))
    known = set(FAILING.read_text().split("\n")) - {""}
    new, mended = sorted(set(failed) - known), sorted(known & passed)
    for name in new:
        print(f"FAILED and is not in {FAILING.name}: {name}: {' '.join(str(failed[name]).split())[:300]}")
    for name in mended:
        print(f"passes and is still in {FAILING.name}: {name}")
    print(f"{len(passed)} scenarios passed, {len(failed)} failed; {len(known)} are known to fail")
    sys.exit(1 if new or mended else 0)


main()
