#!/usr/bin/env python3
"""Spans: one for each request, under the sender's trace, without what was said; and no call waits for the collector."""

import http.server
import json
import os
import sys
import threading
import time

from project import Project, check, code_of, fake, free_port

root = os.environ["SUITE_TMP"]
received = []
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Collector(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        received.append((self.path, body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


port = free_port()
project = Project({"fake": fake(f"{root}/effects")}, settings=f'\n[telemetry]\notlp = "http://127.0.0.1:{port}"\n')
project.approve_all("--effects", "fake/peek=read", "--effects", "fake/wipe=destructive", "--destination", "fake/peek=local", "--destination", "fake/wipe=local")
key = project.agent()
project.start()


def spans():
    found = [span for _, body in list(received) for resource in body["resourceSpans"] for scope in resource["scopeSpans"] for span in scope["spans"]]
    for span in found:
        span["attributes"] = {a["key"]: a["value"]["stringValue"] for a in span["attributes"]} if isinstance(span["attributes"], list) else span["attributes"]
    return found


try:
    client = project.client(key)
    begun = time.monotonic()
    for _ in range(50):
        check_code = code_of(client.call("fake__peek", id="t0p-s3cret"))
        assert check_code is None, check_code
    check(f"50 calls without a collector took {time.monotonic() - begun:.2f} s", time.monotonic() - begun < 10)

    server = http.server.HTTPServer(("127.0.0.1", port), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    time.sleep(1.5)
    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}, "traceparent": f"00-{TRACE}-{SPAN}-01"}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "fake__peek", "arguments": {"id": "t0p-s3cret"}, "_meta": meta}}
    client.post(json.dumps(body), {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "fake__peek"})
    client.call("fake__wipe", id="1")
    deadline = time.monotonic() + 10
    while not {"allow", "step_up"} <= {s["attributes"].get("interlock.decision") for s in spans() if s["traceId"] == TRACE or s["name"].endswith("wipe")}:
        assert time.monotonic() < deadline, spans()
        time.sleep(0.1)
    one = next(s for s in spans() if s["traceId"] == TRACE)
    check("a span under the sender's", one["parentSpanId"] == SPAN and one["name"] == "tools/call peek", one)
    check("with the conventions' names", one["attributes"]["gen_ai.tool.name"] == "peek" and one["attributes"]["mcp.protocol.version"] == "2026-07-28", one)
    waits = next(s for s in spans() if s["name"] == "tools/call wipe")
    check("a call that waits for a human says so", waits["attributes"]["error.type"] == "approval_required" and waits["status"] == {"code": 2}, waits)
    check("the span leads to the ledger", project.run("ledger", "show", waits["attributes"]["interlock.call_id"]).returncode == 0)
    check("nothing that was said is in them", "s3cret" not in json.dumps(received))
    client.call("fake__peek", id="last")
    before = len(spans())
finally:
    project.stop()
check("the last span is sent before the end", len(spans()) == before + 1, len(spans()))
sys.exit(0)
