#!/usr/bin/env python3
"""A human's yes: needed, signed, for exactly one call, and beyond the reach of whoever only has a shell."""

import json
import os
import subprocess
import sys

from project import Project, check, code_of, fake

root = os.environ["SUITE_TMP"]
effects = f"{root}/effects"
project = Project({"fake": fake(effects)})
project.approve_all("--effects", "fake/wipe=destructive", "--effects", "fake/effect=write", "--destination", "fake/effect=local", "--destination", "fake/wipe=local")
key = project.agent()
project.start()
try:
    client = project.client(key)
    asked = client.call("fake__wipe", id="1")
    check("a destructive call waits", code_of(asked) == "approval_required", asked)
    approval = asked["result"]["structuredContent"]["approval"]["id"]
    shown = project.interlock("approvals", "show", approval)
    check("the approver sees the arguments", json.loads(shown["arguments"]) == {"id": "1"}, shown)
    check("it is listed", approval in json.dumps(project.interlock("approvals", "list")))

    (project.dir / "wrong").write_text("not the passphrase\n")
    for verb in ("approve", "deny"):
        command = [part if part != str(project.dir / "passphrase") else str(project.dir / "wrong") for part in project.command("approvals", verb, approval)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        check(f"invariant 10: `{verb}` with another passphrase is refused", done.returncode == 2 and "wrong passphrase" in done.stderr, done.stderr)
    bare = [part for part in project.command("approvals", "approve", approval)]
    del bare[3:5]
    done = subprocess.run(bare, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, start_new_session=True)
    check("invariant 10: without a passphrase and a terminal it is refused", done.returncode == 2, done.stderr)
    check("nothing happened", not os.path.exists(effects))

    project.interlock("approvals", "approve", approval, "--reason", "tests")
    check("other arguments wait again", code_of(client.call("fake__wipe", id="2")) == "approval_required")
    check("the approved call runs", code_of(client.call("fake__wipe", id="1")) is None)
    check("once", code_of(client.call("fake__wipe", id="1")) == "approval_required")
    check("with one effect", open(effects, encoding="utf-8").read() == "wipe 1\n")

    denied = client.call("fake__wipe", id="3")["result"]["structuredContent"]["approval"]["id"]
    project.interlock("approvals", "deny", denied, "--reason", "not today")
    answer = client.call("fake__wipe", id="3")
    check("a no is told with its reason", code_of(answer) == "approval_denied" and "not today" in json.dumps(answer), answer)

    waiting = client.call("fake__wipe", id="4")["result"]["structuredContent"]["approval"]["id"]
    project.interlock("approvals", "approve", waiting)
    project.kill()
    project.start()
    client = project.client(key)
    check("an approval survives kill -9, and is used once", code_of(client.call("fake__wipe", id="4")) is None)
    check("... and only once", code_of(client.call("fake__wipe", id="4")) == "approval_required")

    project.interlock("agents", "suspend", "builder")
    status, answer = client.post(b'{"jsonrpc":"2.0","id":1,"method":"ping"}')
    check("a suspended agent is refused at once", status == 403 and json.loads(answer)["error"]["data"]["code"] == "agent_not_active", answer)
    project.interlock("agents", "resume", "builder")
    check("a resumed one is not", code_of(client.call("fake__effect", id="5")) is None)

    call = next(e for e in project.interlock("ledger", "search", "--kind", "denial") if e["entry"]["event"]["denial"]["decision"]["outcome"] == "step_up")
    told = project.run("policy", "explain", call["entry"]["event"]["denial"]["call"])
    check("`policy explain` says what would have allowed it", told.returncode == 0 and "approv" in told.stdout, told.stdout)
    shown = project.interlock("ledger", "show", call["entry"]["event"]["denial"]["call"])
    check("`ledger show` has the arguments", '"id"' in json.dumps(shown), shown)
    verified = project.interlock("ledger", "verify")
    check("the ledger verifies", verified["verified"], verified)
finally:
    project.stop()
sys.exit(0)
