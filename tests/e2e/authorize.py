#!/usr/bin/env python3
"""Decisions for callers that act themselves (AuthZEN): the same as for a call, recorded, and nothing is sent anywhere."""

import http.client
import json
import os
import sys
import time

from project import Project, check, code_of, fake, free_port

root = os.environ["SUITE_TMP"]
effects = f"{root}/effects"
port = free_port()
project = Project({"fake": fake(effects)}, api=port)
project.approve_all("--effects", "fake/wipe=destructive", "--effects", "fake/effect=write", "--effects", "fake/peek=read",
                    "--destination", "fake/effect=local", "--destination", "fake/wipe=local", "--destination", "fake/peek=local")
(project.dir / "policy" / "mine.cedar").write_text(
    '@id("not-nine") @reason("never nine") forbid (principal, action == Interlock::Action::"fake/effect", resource)'
    ' when { context.args has id && context.args.id == "9" };\n'
    '@id("not-mutate") forbid (principal, action, resource == Interlock::Tool::"fake/mutate");\n')
project.interlock("policy", "sign")
key = project.agent()
other = project.agent("other")
project.start()


class Decisions:
    """A policy enforcement point of a few lines."""

    def __init__(self, agent="builder", with_key=None):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.agent, self.key = agent, with_key or key

    def ask(self, method, path, body=None, headers=None):
        base = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
        self.connection.request(method, path, None if body is None else json.dumps(body), {**base, **(headers or {})})
        answer = self.connection.getresponse()
        return answer.status, answer.headers, answer.read()

    def resource(self, tool, arguments):
        return {"type": "tool", "id": f"fake/{tool}", "properties": {"arguments": arguments}}

    def may(self, tool, action="call", path="/api/v1/authorize", **arguments):
        body = {"subject": {"type": "agent", "id": self.agent}, "action": {"name": action}, "resource": self.resource(tool, arguments)}
        status, _, text = self.ask("POST", path, body)
        assert status == 200, (status, text)
        return json.loads(text)

    def may_all(self, calls, semantic=None):
        body = {"subject": {"type": "agent", "id": self.agent}, "action": {"name": "call"},
                "evaluations": [{"resource": self.resource(tool, arguments)} for tool, arguments in calls]}
        if semantic:
            body["options"] = {"evaluations_semantic": semantic}
        status, _, text = self.ask("POST", "/access/v1/evaluations", body)
        assert status == 200, (status, text)
        return [one["decision"] for one in json.loads(text)["evaluations"]]


def entries(call):
    """The entries of one call, by kind. An outcome follows its answer by milliseconds."""
    deadline = time.monotonic() + 10
    while True:
        found = [e["entry"]["event"] for e in project.entries()]
        of_call = {kind: what for event in found for kind, what in event.items() if what.get("call") == call}
        if "intent" not in of_call or "outcome" in of_call or time.monotonic() > deadline:
            return of_call
        time.sleep(0.05)


try:
    status = project.admin("status")
    check("the daemon says where the API is", status["api"] == f"http://127.0.0.1:{port}", status)
    pep = Decisions()
    status, _, text = pep.ask("GET", "/readyz")
    check("it is ready", (status, json.loads(text)) == (200, {"status": "ready"}), text)
    status, _, text = pep.ask("GET", "/.well-known/authzen-configuration")
    metadata = json.loads(text)
    check("the metadata names the endpoints", metadata["access_evaluation_endpoint"] == f"http://127.0.0.1:{port}/access/v1/evaluation", metadata)

    allowed = pep.may("effect", id="1")
    check("a permitted call is permitted", allowed["decision"] is True and allowed["context"]["outcome"] == "allow", allowed)
    recorded = entries(allowed["context"]["call_id"])
    check("an intent and its outcome say so", sorted(recorded) == ["intent", "outcome"] and recorded["outcome"]["status"] == "answered", recorded)
    check("and that nothing was sent", "sent" not in recorded["intent"]["arguments"] and "result" not in recorded["outcome"], recorded)
    check("the spec's own path answers alike", pep.may("peek", path="/access/v1/evaluation", id="1")["decision"] is True)

    denied = pep.may("effect", id="9")
    context = denied["context"]
    check("a forbidden one is not", (denied["decision"], context["code"], context["policies"]) == (False, "policy_denied", ["not-nine"]), denied)
    check("with its reason", "never nine" in context["reason"], denied)
    recorded = entries(context["call_id"])
    check("and a denial in the ledger", list(recorded) == ["denial"] and recorded["denial"]["decision"]["outcome"] == "deny", recorded)
    check("the call through the gateway gets the same answer", code_of(project.client(key).call("fake__effect", id="9")) == "policy_denied")
    unfit = pep.may("effect", id=7)
    check("arguments are checked against the schema", (unfit["decision"], unfit["context"]["code"]) == (False, "invalid_arguments"), unfit)

    hidden, absent = pep.may("mutate"), pep.may("no-such-tool")
    for answer in (hidden, absent):
        answer["context"].pop("call_id")
    check("what may not be listed is as unknown as what is not there", hidden == absent and hidden["context"]["code"] == "unknown_tool", (hidden, absent))
    check("`list` says the same", pep.may("mutate", "list") == pep.may("no-such-tool", "list") and pep.may("peek", "list")["decision"] is True)

    waits = pep.may("wipe", id="1")
    context = waits["context"]
    check("a destructive one waits for a human", (waits["decision"], context["outcome"], context["retry"]) == (False, "step_up", "after_approval"), waits)
    approval = context["approval"]["id"]
    shown = project.interlock("approvals", "show", approval)
    check("the approver sees the arguments", json.loads(shown["arguments"]) == {"id": "1"}, shown)
    project.interlock("approvals", "approve", approval, "--reason", "tests")
    check("other arguments wait again", pep.may("wipe", id="2")["decision"] is False)
    used = pep.may("wipe", id="1")
    check("the approved one is permitted", (used["decision"], used["context"]["approval"]["id"]) == (True, approval), used)
    check("once", pep.may("wipe", id="1")["decision"] is False)
    check("and not through the gateway either", code_of(project.client(key).call("fake__wipe", id="1")) == "approval_required")

    three = [("peek", {"id": "1"}), ("effect", {"id": "9"}), ("peek", {"id": "2"})]
    denials = len(project.interlock("ledger", "search", "--kind", "denial", "--limit", "1000"))
    check("a batch: all", pep.may_all(three) == [True, False, True])
    check("... recorded one by one", len(project.interlock("ledger", "search", "--kind", "denial", "--limit", "1000")) == denials + 1)
    check("... until the first deny", pep.may_all(three, "deny_on_first_deny") == [True, False])
    check("... until the first permit", pep.may_all(three, "permit_on_first_permit") == [True])

    body = {"subject": {"type": "agent", "id": "builder"}, "action": {"name": "call"}, "resource": pep.resource("peek", {"id": "1"})}
    check("nobody asks for another agent", Decisions(with_key=other).ask("POST", "/api/v1/authorize", body)[0] == 403)
    status, headers, _ = Decisions(with_key="wrong").ask("POST", "/api/v1/authorize", body, {"X-Request-ID": "r-1"})
    check("a wrong key is refused", (status, headers["WWW-Authenticate"], headers["X-Request-ID"]) == (401, "Bearer", "r-1"), status)
    status, _, text = pep.ask("POST", "/api/v1/authorize", {**body, "resource": "peek"})
    check("what is malformed is refused with a message", status == 400 and b"`resource`" in text, text)
    check("MCP is not served there", pep.ask("POST", "/mcp", body)[0] == 404)
    project.interlock("agents", "suspend", "builder")
    check("a suspended agent is refused at once", pep.ask("POST", "/api/v1/authorize", body)[0] == 403)
    project.interlock("agents", "resume", "builder")

    check("nothing reached the server", not os.path.exists(effects))
    project.kill()
    project.start()
    check("after kill -9 it goes on", Decisions().may("peek", id="3")["decision"] is True)
    verified = project.interlock("ledger", "verify")
    check("the ledger verifies", verified["verified"], verified)
    shown = project.interlock("ledger", "show", allowed["context"]["call_id"])
    check("`ledger show` has the arguments", '"id"' in json.dumps(shown), shown)
finally:
    project.stop()
claim = next((project.dir / ".interlock" / "claims").glob("*.json"))
told = project.run("claim", "verify", str(claim))
check("the session's claim verifies", told.returncode == 0, told.stdout + told.stderr)
sys.exit(0)
