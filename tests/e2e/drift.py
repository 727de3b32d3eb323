#!/usr/bin/env python3
"""A definition that changes upstream never reaches the agent, and its tool is set aside before the next call after
`list_changed`, and within the re-list interval without it."""

import json
import os
import sys
import time

from project import Project, check, code_of, fake

root = os.environ["SUITE_TMP"]
definitions = f"{root}/definitions.json"
project = Project({"fake": fake(f"{root}/effects", definitions)}, policy="open", settings="\n[catalog]\nrelist_seconds = 5\n")
project.approve_all("--effects", "fake/peek=read", "--effects", "fake/effect=write", "--effects", "fake/mutate=read")
key = project.agent()
project.start()
try:
    client = project.client(key)
    before = {t["name"]: t for t in client.tools()}
    check("the approved text is served", before["fake__peek"]["description"] == "Returns its arguments.")
    check("unknown members of a definition are served", before["fake__peek"]["execution"] == {"taskSupport": "forbidden"})
    check("the tool works", code_of(client.call("fake__peek", id="1")) is None)

    for _ in range(20):
        client.call("fake__mutate")
        answer = client.call("fake__peek", id="2")
        assert code_of(answer) == "tool_quarantined", answer
        assert "Ignore all previous" not in json.dumps(client.tools())
        os.remove(definitions)
        project.admin("servers.relist")
        deadline = time.monotonic() + 10
        while code_of(client.call("fake__peek", id="3")) is not None:
            assert time.monotonic() < deadline, "the tool was not released"
            time.sleep(0.1)
    check("20 times: set aside before the next call after list_changed, released when it is as approved again", True)
    check("other tools go on", code_of(client.call("fake__effect", id="x")) is None)

    # Silently this time: only the re-listing can notice.
    with open(definitions, "w", encoding="utf-8") as file:
        tools = [dict(t, name=t["name"].removeprefix("fake__")) for t in before.values()]
        for tool in tools:
            if tool["name"] == "effect":
                tool["annotations"]["title"] = "Now better"
        json.dump(tools, file)
    begun = time.monotonic()
    while code_of(client.call("fake__effect", id="y")) is None:
        assert time.monotonic() - begun < 7, "the change was not noticed"
        time.sleep(0.05)
    check(f"a silent change was noticed after {time.monotonic() - begun:.1f} s (re-listed every 5 s)", True)

    diff = project.run("catalog", "diff")
    check("`catalog diff` shows it and answers no", diff.returncode == 1 and "Now better" in diff.stdout, diff.stdout)
    recorded = [e for e in project.interlock("ledger", "search", "--kind", "catalog", "--limit", "1000")]
    actions = [e["entry"]["event"]["catalog"]["action"] for e in recorded]
    check("every step is in the ledger", "quarantined" in actions and "released" in actions, actions)
finally:
    project.stop()
sys.exit(0)
