#!/usr/bin/env python3
"""Drives a gateway as a host would, for the client scenarios of the conformance suite.

The suite starts this with the address of its own server as the last argument and watches what arrives there. A gateway is put
before that server, and everything it then offers is used, by raw JSON-RPC: what the suite sees is the gateway's own client side.
The scenario and what it wants called are in the environment.
"""

import base64
import http.client
import json
import os
import pathlib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from project import Project  # noqa: E402

SCENARIO = os.environ.get("MCP_CONFORMANCE_SCENARIO", "")
REVISION = os.environ.get("MCP_CONFORMANCE_PROTOCOL_VERSION", "2025-11-25")
CONTEXT = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))
MODERN = REVISION >= "2026"
ABLE = {"elicitation": {"form": {"applyDefaults": True}, "url": {}}, "sampling": {}, "roots": {}}
INFO = {"name": "driver", "version": "1"}


def header(value):
    """A value as the standard headers carry it: plain, or in base64 where that is not possible."""
    plain = all(" " <= c <= "~" for c in value) and value == value.strip()
    return value if plain else f"=?base64?{base64.b64encode(value.encode()).decode()}?="


def mirrored(schema, arguments):
    """The headers that repeat arguments, as the tool's schema asks for."""
    found = {}
    for name, member in (schema or {}).get("properties", {}).items():
        value = (arguments or {}).get(name)
        if value is None:
            continue
        if "x-mcp-header" in member:
            text = value if isinstance(value, str) else json.dumps(value)
            found[f"Mcp-Param-{member['x-mcp-header']}"] = header(text)
        elif "properties" in member:
            found |= mirrored(member, value)
    return found


def reply(method, params):
    """What a person or a model would say."""
    if method == "elicitation/create":
        properties = params.get("requestedSchema", {}).get("properties", {})
        content = {name: member["default"] for name, member in properties.items() if "default" in member}
        if "confirmed" in properties:
            content["confirmed"] = True
        return {"action": "accept", "content": content}
    if method == "sampling/createMessage":
        return {"role": "assistant", "model": "none", "stopReason": "endTurn", "content": {"type": "text", "text": "said"}}
    return {"roots": []} if method == "roots/list" else {}


def value_for(member):
    """Some value of a schema."""
    for known in ("const", "default"):
        if known in member:
            return member[known]
    if member.get("enum"):
        return member["enum"][0]
    kind = member.get("type", "string")
    kind = kind[0] if isinstance(kind, list) else kind
    return {"string": "text", "integer": 2, "number": 2, "boolean": True, "array": [], "object": {}}.get(kind)


class Host:
    """A client of one era over one connection each time."""

    def __init__(self, port):
        self.port, self.session, self.next = port, None, 0

    def open(self, method, body=None, extra=()):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json", **dict(extra)}
        if self.session:
            headers["Mcp-Session-Id"] = self.session
        connection.request(method, "/mcp/server", body, headers)
        return connection.getresponse()

    def send(self, message, extra=()):
        """Sends one message; the response to a request, by whatever way it comes."""
        headers = dict(extra)
        if MODERN:
            headers |= {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": message.get("method", "")}
            name = message.get("params", {}).get("name") or message.get("params", {}).get("uri")
            if name:
                headers["Mcp-Name"] = header(name)
        elif message.get("method") != "initialize":
            headers["MCP-Protocol-Version"] = REVISION
        answer = self.open("POST", json.dumps(message), headers)
        self.session = self.session or answer.headers.get("Mcp-Session-Id")
        if "text/event-stream" in answer.headers.get("Content-Type", ""):
            return self.follow(answer, message.get("id"))
        text = answer.read()
        return json.loads(text) if text else None

    def follow(self, answer, wanted=None):
        """Reads events, answers what the server asks, and ends with the response to `wanted`."""
        for line in answer:
            if not line.startswith(b"data:") or not line[5:].strip():
                continue
            message = json.loads(line[5:])
            if "method" in message and "id" in message:
                result = reply(message["method"], message.get("params", {}))
                self.send({"jsonrpc": "2.0", "id": message["id"], "result": result})
            elif wanted is not None and message.get("id") == wanted:
                return message
        return None

    def request(self, method, params=None, extra=()):
        params = params or {}
        meta = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": INFO,
            "io.modelcontextprotocol/clientCapabilities": ABLE,
        }
        for _ in range(6):
            self.next += 1
            whole = {**params, "_meta": meta} if MODERN else params
            answer = self.send({"jsonrpc": "2.0", "id": self.next, "method": method, "params": whole}, extra) or {}
            print(f"{method} {params.get('name', '')}: {json.dumps(answer)[:300]}", file=sys.stderr)
            result = answer.get("result", {})
            if result.get("resultType") != "input_required":
                return result
            if SCENARIO == "sep-2322-client-request-state":
                # A call in between, to which nothing of the first one may leak.
                self.next += 1
                unrelated = {"name": "test_mrtr_unrelated", "arguments": {}, "_meta": meta}
                self.send({"jsonrpc": "2.0", "id": self.next, "method": "tools/call", "params": unrelated})
            asked = result.get("inputRequests", {})
            replies = {key: reply(question["method"], question.get("params", {})) for key, question in asked.items()}
            params = {**params, "inputResponses": replies}
            if "requestState" in result:
                params["requestState"] = result["requestState"]
        return {}

    def greet(self):
        self.next += 1
        params = {"protocolVersion": REVISION, "capabilities": ABLE, "clientInfo": INFO}
        self.send({"jsonrpc": "2.0", "id": self.next, "method": "initialize", "params": params})
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        threading.Thread(target=lambda: self.follow(self.open("GET")), daemon=True).start()

    def use_everything(self):
        if not MODERN:
            self.greet()
        tools = {tool["name"]: tool.get("inputSchema", {}) for tool in self.request("tools/list").get("tools", [])}
        calls = CONTEXT.get("toolCalls")
        if calls is None:
            calls = [{"name": name, "arguments": arguments(name, schema, tools)} for name, schema in tools.items()]
        for call in calls:
            # A schema that refers elsewhere is only looked at: nothing may be fetched for it.
            if call["name"] == "test_mrtr_unrelated" or SCENARIO == "json-schema-ref-no-deref":
                continue
            headers = mirrored(tools.get(call["name"]), call["arguments"]) if MODERN else {}
            self.request("tools/call", call, headers)
        if "json-schema" not in SCENARIO:
            for resource in self.request("resources/list").get("resources", []):
                self.request("resources/read", {"uri": resource["uri"]})
            for prompt in self.request("prompts/list").get("prompts", []):
                given = {argument["name"]: "text" for argument in prompt.get("arguments", [])}
                self.request("prompts/get", {"name": prompt["name"], "arguments": given})


def arguments(name, schema, tools):
    if name == "add_numbers":
        return {"a": 2, "b": 3}
    if name == "json_schema_echo":
        return {"schema": tools.get("json_schema_2020_12_tool")}
    properties = schema.get("properties", {})
    return {wanted: value_for(properties.get(wanted, {})) for wanted in schema.get("required", list(properties))}


def main():
    project = Project({"server": {"type": "http", "url": sys.argv[-1]}}, policy="open", settings="allow_unbound = true\n")
    try:
        project.approve_all()
        project.interlock("stop")
        project.start()
        Host(project.port).use_everything()
        if SCENARIO == "sse-retry":
            time.sleep(1.5)
    finally:
        project.stop()


main()
