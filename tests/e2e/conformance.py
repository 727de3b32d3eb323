#!/usr/bin/env python3
"""The official MCP conformance suite against the gateway, in front of a reference server that passes all of it.

Every server scenario of each revision runs through `/mcp/reference`, before a server of both eras; then those of the older
era before a server of the newer one alone, and the other way round. `tests/conformance/failing.txt` names the scenarios that do
not pass, `ERA REVISION SCENARIO` on a line, where `ERA` is that of the server; what stands behind a `#` says why. The list may
only shrink: a scenario that fails and is not in it fails here, and so does one that is in it and passes. Behind a `~` stand those
that depend on the reference server's timing, and may do either.
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
# Which revisions are run before a server of which era.
ERAS = {"dual": list(REVISIONS), "modern": ["2025-06-18", "2025-11-25"], "legacy": ["2026-07-28"]}


def reference(directory, era):
    """Starts the reference server; modules are found from the folder that a script is in."""
    directory.mkdir()
    (directory / "node_modules").symlink_to(pathlib.Path(NPM) / "node_modules")
    shutil.copy(HERE / "reference.mjs", directory)
    port = free_port()
    with open(directory / "reference.log", "wb") as log:
        server = subprocess.Popen(
            [NODE, str(directory / "reference.mjs"), "--port", str(port), "--era", era], stdin=subprocess.DEVNULL, stdout=log, stderr=log
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


def scenarios(url, era, revision, out):
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
            failed[f"{era} {revision} {name}"] = wrong[0].get("errorMessage") or wrong[0].get("id", "")
        elif any(check["status"] == "SUCCESS" for check in checks):
            passed.add(f"{era} {revision} {name}")
    assert passed, f"the suite gave no results for {revision}:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return passed, failed


def run(era, revisions, scratch):
    """The scenarios of some revisions before a server of one era."""
    server, url = reference(scratch, era)
    # The suite sends no key, so its calls are those of `unbound`; the open policy lets it call everything.
    project = Project({"reference": {"type": "http", "url": url}}, policy="open", settings="allow_unbound = true\n")
    passed, failed = set(), {}
    try:
        project.approve_all()
        project.interlock("stop")
        project.start()
        for revision in revisions:
            begun = time.monotonic()
            good, bad = scenarios(f"http://127.0.0.1:{project.port}/mcp/reference", era, revision, scratch / revision)
            took = time.monotonic() - begun
            print(f"server {era}, client {revision}: {len(good)} scenarios passed, {len(bad)} failed, {took:.0f} s", flush=True)
            passed |= good
            failed |= bad
    finally:
        project.stop()
        server.kill()
    return passed, failed


def main():
    scratch = pathlib.Path(tempfile.mkdtemp(dir=os.environ.get("SUITE_TMP")))
    passed, failed = set(), {}
    for era, revisions in ERAS.items():
        good, bad = run(era, revisions, scratch / era)
        passed |= good
        failed |= bad
    lines = [line.split("#")[0].strip() for line in FAILING.read_text().splitlines()]
    either = {line.removeprefix("~").strip() for line in lines if line.startswith("~")}
    known = {line for line in lines if line and not line.startswith("~")}
    new, mended = sorted(set(failed) - known - either), sorted(known & passed)
    for name in new:
        print(f"FAILED and is not in {FAILING.name}: {name}: {' '.join(str(failed[name]).split())[:300]}")
    for name in mended:
        print(f"passes and is still in {FAILING.name}: {name}")
    print(f"{len(passed)} scenarios passed, {len(failed)} failed; {len(known)} are known to fail")
    sys.exit(1 if new or mended else 0)


main()
