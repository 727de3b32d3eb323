#!/usr/bin/env python3
"""What the gateway holds and how fast it is there: memory of idle sessions and of open streams, how streams weigh on ordinary
calls, and a cold start before ten HTTP servers. Prints a table, and with `--write` puts it into docs/performance.md.

Needs INTERLOCK_BIN, a release build, and on PATH nothing but Python's standard library.
"""

import http.client
import http.server
import json
import os
import pathlib
import socket
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from project import Project, fake  # noqa: E402

AGENTS, EACH, STREAMS, CALLS, SERVERS = 40, 250, 1000, 3000, 10
BEGIN, END = "<!-- held:begin -->", "<!-- held:end -->"


class Server(http.server.BaseHTTPRequestHandler):
    """A server of 2025-11-25 with one tool, named unlike those of the others: look-alikes are not approved in passing."""

    protocol_version = "HTTP/1.1"
    RESULTS = {
        "initialize": {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}},
    }
    NAMES = ("weather", "ledger", "translate", "search", "calendar", "invoice", "route", "thumbnail", "pronounce", "dictionary")

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = {"jsonrpc": "2.0", "id": message.get("id")}
        if message["method"] == "tools/list":
            answer["result"] = {"tools": [{"name": self.server.tool, "inputSchema": {"type": "object"}}]}
        elif message["method"] in self.RESULTS:
            answer["result"] = self.RESULTS[message["method"]]
        else:
            answer["error"] = {"code": -32601, "message": "no such method"}
        body = json.dumps(answer).encode() if "id" in message else b""
        self.send_response(200 if body else 202)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.send_response(405)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_DELETE = do_GET

    def log_message(self, *_):
        pass


def resident(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


def quantile(values, part):
    return sorted(values)[int(len(values) * part)]


def latencies(client):
    """Microseconds of calls, one after the other."""
    found = []
    for number in range(CALLS):
        begun = time.perf_counter()
        client.call("work__peek", id=str(number))
        found.append((time.perf_counter() - begun) * 1e6)
    return found


def held(rows):
    project = Project({"work": fake(pathlib.Path(tempfile.mkdtemp()) / "effects")}, policy="open")
    try:
        project.approve_all()
        keys = [project.agent(f"agent-{number}") for number in range(AGENTS)]
        project.start()
        pid, headers = project.daemon.pid, {"Content-Type": "application/json", "Accept": "application/json"}
        client = project.client(keys[0])
        latencies(client)
        time.sleep(1)
        before, sessions = resident(pid), []
        params = {"protocolVersion": "2025-11-25", "capabilities": {"elicitation": {}}, "clientInfo": {"name": "b", "version": "1"}}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params})
        for key in keys:
            connection = http.client.HTTPConnection("127.0.0.1", project.port)
            for _ in range(EACH):
                connection.request("POST", "/mcp", body, {**headers, "Authorization": f"Bearer {key}"})
                answer = connection.getresponse()
                answer.read()
                sessions.append((key, answer.headers["Mcp-Session-Id"]))
            connection.close()
        time.sleep(1)
        after = resident(pid)
        rows.append((f"one of {len(sessions)} idle sessions", f"{(after - before) / len(sessions):.1f} KiB", "20 KiB"))
        alone = latencies(client)
        open_streams = []
        for key, session in sessions[:STREAMS]:
            stream = socket.create_connection(("127.0.0.1", project.port))
            head = f"GET /mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
            stream.sendall(f"{head}Mcp-Session-Id: {session}\r\nAccept: text/event-stream\r\n\r\n".encode())
            open_streams.append(stream)
        for stream in open_streams:
            stream.recv(4096)
        time.sleep(1)
        rows.append((f"one of {STREAMS} open streams", f"{(resident(pid) - after) / STREAMS:.1f} KiB", "–"))
        beside = latencies(client)
        ratio = quantile(beside, 0.99) / quantile(alone, 0.99)
        what = f"p99 of a call beside {STREAMS} streams"
        rows.append((what, f"{quantile(beside, 0.99):.0f} us, {ratio:.2f} times that without ({quantile(alone, 0.99):.0f} us)", "1.5 times"))
    finally:
        project.stop()


def cold_start(rows):
    listening = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) for _ in range(SERVERS)]
    for server, name in zip(listening, Server.NAMES):
        server.tool = name
        threading.Thread(target=server.serve_forever, daemon=True).start()
    servers = {f"s{n}": {"type": "http", "url": f"http://127.0.0.1:{s.server_port}/mcp"} for n, s in enumerate(listening)}
    project = Project(servers, policy="open")
    try:
        project.approve_all()
        key = project.agent()
        first, settled = [], []
        for _ in range(5):
            begun = time.perf_counter()
            project.launch()
            while True:
                try:
                    tools = project.client(key).tools()
                    break
                except OSError:
                    time.sleep(0.001)
            assert len(tools) == SERVERS, tools
            first.append((time.perf_counter() - begun) * 1e3)
            project.wait_ready()
            settled.append((time.perf_counter() - begun) * 1e3)
            project.stop()
        rows.append((f"cold start before {SERVERS} HTTP servers, to the first `tools/list`", f"{quantile(first, 0.5):.0f} ms", "100 ms"))
        rows.append(("the same, until all their tools were compared", f"{quantile(settled, 0.5):.0f} ms", "–"))
    finally:
        project.stop()


def main():
    rows = []
    held(rows)
    cold_start(rows)
    table = "\n".join(["| What | Measured | Meant to be under |", "| --- | ---: | ---: |", *(f"| {' | '.join(row)} |" for row in rows)])
    print(table)
    if "--write" in sys.argv:
        page = ROOT / "docs" / "performance.md"
        text = page.read_text()
        before, rest = text.split(BEGIN)
        page.write_text(f"{before}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}")


main()
