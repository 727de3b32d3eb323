#!/usr/bin/env python3
"""What a client gets through the gateway is what it gets from the server: third-party clients, each in each of its modes,
against third-party servers over each of their transports, by each way through the gateway, beside the same client at the server.

    matrix.py [--all] [--client TEXT] [--server NAME]...

A cell is (client, server, transport, way). By default a pairwise cover runs: each pair of values of two of the four stands in
some cell. --all runs the product; --client (a part of its name) and --server keep some of its rows. A cell compares every tool
listed and the answers of some calls, as `normalised` has them. Exit code 0: every cell is the same, or differs as `KNOWN` says.
"""

import argparse
import collections
import concurrent.futures
import difflib
import functools
import http.server
import itertools
import json
import os
import pathlib
import socket
import sqlite3
import subprocess
import sys
import threading
import time

from project import NODE, NPM, PEERS, PY1, PY2, Project, check, clock, everything, filesystem, free_port, git, memory, sqlite

ROOT = pathlib.Path(os.environ["SUITE_TMP"]) / "matrix"
WORK, REPOSITORY = ROOT / "work", ROOT / "repository"
PACKAGES = f"{NPM}/node_modules/@modelcontextprotocol"
MODERN, LEGACY = "2026-07-28", "2025-11-25"

TRANSPORTS = ("stdio", "http", "sse")
WAYS = ("/mcp", "/mcp/NAME", "stdio", "stdio NAME")
Cell = collections.namedtuple("Cell", "client server transport way")

# What is listed of a server, and the kind of line that says one of it. Resources and prompts belong here once they go through.
LISTED = {"tools": "tool"}

# What is known to differ: (which cells, which titles of a difference, why). It may only shrink: with --all, each has to be met.
BY_CAPABILITY = {
    "get-roots-list",
    "trigger-elicitation-request",
    "trigger-elicitation-request-async",
    "trigger-sampling-request",
    "trigger-sampling-request-async",
    "trigger-url-elicitation",
}
KNOWN = [
    (
        lambda cell: cell.server == "everything",
        lambda title: title.removeprefix("tool ") in BY_CAPABILITY,
        "the server has these tools only for clients that can do what they need; the gateway says that it can do all of it, and "
        "hands it on to clients that can",
    ),
]


# Servers.


class Server:
    """One third-party server: how a host starts it, how it is had over the network, what is asked of it.

    `http` and `sse` make, from a port, the command that listens there, its environment and the path of its endpoint. `BRIDGE` is
    for a server without such a mode: a bridge then stands before it, one for all, and speaks the older protocol.
    `modern` names the transports by which the server answers the newer protocol.
    """

    def __init__(self, stdio, calls, http="bridge", sse=None, modern=()):
        self.stdio, self.calls, self.modern = stdio, calls, modern
        self.listening = {"http": http, "sse": sse}

    def transports(self):
        return ["stdio", *(transport for transport, how in self.listening.items() if how)]


def python(venv, program, *args):
    return {"command": f"{venv}/bin/{program}", "args": list(args)}


def app(name):
    """An example of MCP Apps, on version 2 of the TypeScript SDK."""
    program = f"{PACKAGES}/{name}/dist/index.js"
    return {
        "stdio": {"command": NODE, "args": [program, "--stdio"]},
        "http": lambda port: ([NODE, program], {"PORT": str(port)}, "/mcp"),
    }


def everything_at(mode, path):
    spec = everything()
    return lambda port: ([spec["command"], *spec["args"], mode], {"PORT": str(port)}, path)


def excel_at(port):
    options = ["--allow-dir", str(WORK), "--allow-unauthenticated", "--port", str(port)]
    return [f"{PY2}/bin/excel-mcp-server", "streamable-http", *options], {}, "/mcp"


def servers(page):
    repository = {"repo_path": str(REPOSITORY)}
    tokyo = {"source_timezone": "UTC", "target_timezone": "Asia/Tokyo"}
    return {
        "everything": Server(
            everything(),
            [
                ("echo", {"message": 'naïve 🦀 \u2028 \\ " \u0001'}),
                ("get-sum", {"a": 1.5, "b": 2**53 + 1}),
                ("get-structured-content", {"location": "Chicago"}),
                ("get-tiny-image", {}),
                ("get-annotated-message", {"messageType": "error", "includeImage": True}),
                ("get-resource-links", {"count": 2}),
            ],
            http=everything_at("streamableHttp", "/mcp"),
            sse=everything_at("sse", "/sse"),
        ),
        "files": Server(
            filesystem(WORK),
            [
                ("read_text_file", {"path": str(WORK / "hello.txt")}),
                ("read_text_file", {"path": "/etc/passwd"}),  # outside: the server itself says no
                ("directory_tree", {"path": str(WORK / "tree")}),
            ],
        ),
        "memory": Server(memory(ROOT / "memory.json"), [("read_graph", {}), ("search_nodes", {"query": "engine"})], sse="bridge"),
        "budget": Server(calls=[("get-budget-data", {})], **app("server-budget-allocator")),
        "scenario": Server(calls=[("get-scenario-data", {})], **app("server-scenario-modeler")),
        "git": Server(
            git(REPOSITORY),
            [
                ("git_log", {**repository, "max_count": 2}),
                ("git_show", {**repository, "revision": "HEAD"}),
                ("git_show", {**repository, "revision": "nonesuch"}),
            ],
            modern=("stdio",),
        ),
        "clock": Server(
            clock(),
            [("convert_time", {**tokyo, "time": "12:00"}), ("convert_time", {**tokyo, "time": "25:00"})],
            sse="bridge",
            modern=("stdio",),
        ),
        "fetch": Server(
            python(PY2, "mcp-server-fetch", "--ignore-robots-txt"),
            [
                ("fetch", {"url": f"{page}/"}),
                ("fetch", {"url": f"{page}/", "raw": True, "start_index": 10, "max_length": 20}),
                ("fetch", {"url": f"{page}/nonesuch"}),
            ],
            modern=("stdio",),
        ),
        "db": Server(
            sqlite(ROOT / "test.db"),
            [
                ("read_query", {"query": "SELECT id, name, price FROM things ORDER BY id"}),
                ("list_tables", {}),
                ("read_query", {"query": "SELECT nothing"}),
            ],
        ),
        "calculator": Server(
            python(PY1, "mcp-server-calculator"),
            [("calculate", {"expression": "2 ** 70 + 1"}), ("calculate", {"expression": "1 / 0"})],
            sse="bridge",
        ),
        "excel": Server(
            python(PY2, "excel-mcp-server", "stdio", "--allow-dir", str(WORK)),
            [
                ("read_range", {"path": "book.xlsx", "sheet": "Sheet", "range": "A1:C3"}),
                ("describe_sheet", {"path": "book.xlsx", "sheet": "Nonesuch"}),
            ],
            http=excel_at,
            modern=("stdio", "http"),
        ),
    }


class Page(http.server.BaseHTTPRequestHandler):
    """What `fetch` fetches: no other network is needed here."""

    TEXT = "<html><head><title>Greeting</title></head><body><h1>Hello</h1><p>A page with <b>words</b> and — a dash.</p></body></html>".encode()

    def do_GET(self):
        status, text = (200, self.TEXT) if self.path == "/" else (404, b"")
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


def prepare():
    """Writes what the servers serve, the same on every run."""
    (WORK / "tree" / "branch").mkdir(parents=True)
    (WORK / "hello.txt").write_text("hello, world\n")
    (WORK / "tree" / "branch" / "leaf.txt").write_text("a leaf\n")
    graph = [
        {"type": "entity", "name": "Ada", "entityType": "person", "observations": ["wrote of the engine", "née Byron"]},
        {"type": "entity", "name": "Engine", "entityType": "machine", "observations": []},
        {"type": "relation", "from": "Ada", "to": "Engine", "relationType": "wrote of"},
    ]
    (ROOT / "memory.json").write_text("\n".join(map(json.dumps, graph)))
    db = sqlite3.connect(ROOT / "test.db")
    db.executescript("CREATE TABLE things (id INTEGER, name TEXT, price REAL)")
    db.executemany("INSERT INTO things VALUES (?, ?, ?)", [(2**53 + 1, "a nut", 0.1), (2, None, 1e300)])
    db.commit()
    db.close()
    who = {"NAME": "Ada", "EMAIL": "ada@example.org", "DATE": "2026-01-02T03:04:05Z"}
    env = {**os.environ, **{f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()}}
    typed = functools.partial(subprocess.run, check=True, capture_output=True, cwd=ROOT, env=env)
    typed(["git", "init", "--initial-branch=main", str(REPOSITORY)])
    (REPOSITORY / "file").write_text("one line\n")
    for command in (["add", "file"], ["commit", "--message=The first"], ["commit", "--allow-empty", "--message=The second"]):
        typed(["git", "-C", str(REPOSITORY), *command])
    rows = [["name", "n", "twice"], ["a", 1.5, "=B2*2"], ["é", 3, None]]
    book = f"import openpyxl; book = openpyxl.Workbook(); [book.active.append(row) for row in {rows!r}]; book.save('work/book.xlsx')"
    typed([f"{PY2}/bin/python", "-c", book])


def wait_port(port, process, seconds=120):
    deadline = time.monotonic() + seconds
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert process.poll() is None, f"{process.args} ended with {process.returncode}"
            assert time.monotonic() < deadline, f"{process.args} does not listen on {port}"
            time.sleep(0.05)


def listen(products, processes):
    """Starts what listens, into `processes`, and returns the URL by server and transport."""
    bridge, bridged, ports, urls = free_port(), {}, [], {}

    def start(name, port, command, env=None):
        with (ROOT / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(command, env={**os.environ, **(env or {})}, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        processes.append(process)
        ports.append((port, process))

    for name, server in products.items():
        for transport in server.transports()[1:]:
            how = server.listening[transport]
            if how == "bridge":
                bridged[name] = server.stdio
                urls[name, transport] = f"http://127.0.0.1:{bridge}/servers/{name}/{'sse' if transport == 'sse' else 'mcp'}"
            else:
                port = free_port()
                command, env, path = how(port)
                start(f"{name}-{transport}", port, command, env)
                urls[name, transport] = f"http://127.0.0.1:{port}{path}"
    if bridged:
        config = ROOT / "bridge.json"
        config.write_text(json.dumps({"mcpServers": bridged}))
        start("bridge", bridge, [f"{PY1}/bin/mcp-proxy", "--port", str(bridge), "--pass-environment", "--named-server-config", str(config)])
    for port, process in ports:
        wait_port(port, process)
    return urls


# Clients.


class Client:
    """One client in one mode.

    `speaks` is the revision that it and the gateway must agree on, where the client tells. One that insists on the newer
    protocol cannot talk to an older server directly: `older` is the client that stands in for it there. `calls` limits the
    calls of each cell in the cover, for a client that needs a process for each.
    """

    def __init__(self, *command, speaks=None, older=None, sse=True, calls=None):
        self.command, self.speaks, self.older, self.sse, self.calls = command, speaks, older, sse, calls


def on_python(venv, program, *options, **more):
    return Client(f"{venv}/bin/python", str(PEERS / program), *options, **more)


def on_node(*options, **more):
    return Client(NODE, str(PEERS / "client.mjs"), *options, **more)


CLIENTS = {
    "python 2 auto": on_python(PY2, "client.py", speaks=MODERN, sse=False),
    "python 2 legacy": on_python(PY2, "client.py", "--mode", "legacy", speaks=LEGACY, sse=False),
    "python 2 modern": on_python(PY2, "client.py", "--mode", MODERN, speaks=MODERN, older="python 2 legacy", sse=False),
    "python 1": on_python(PY1, "client.py", speaks=LEGACY),
    "typescript 2 legacy": on_node(speaks=LEGACY),
    "typescript 2 auto": on_node("--mode", "auto", speaks=MODERN),
    "typescript 2 modern": on_node("--mode", "modern", speaks=MODERN, older="typescript 2 legacy"),
    "typescript 1": on_node("--sdk", "v1"),
    "inspector legacy": on_python(PY2, "inspector.py", "--mode", "legacy", calls=1),
    "inspector auto": on_python(PY2, "inspector.py", "--mode", "auto", speaks=MODERN, calls=1),
    "inspector modern": on_python(PY2, "inspector.py", "--mode", "modern", speaks=MODERN, older="inspector legacy", calls=1),
    "langchain": on_python(PY1, "langchain_client.py"),
}


def ask(name, targets):
    """Runs one client over its targets and returns what it said of each."""
    log = ROOT / f"{name}.log"
    with log.open("wb") as stderr:
        command, env = [*CLIENTS[name].command, "--at-once", "3"], {**os.environ, "PEERS_NPM": NPM, "PEERS_NODE": NODE}
        done = subprocess.run(command, input=json.dumps(targets).encode(), stdout=subprocess.PIPE, stderr=stderr, env=env, cwd=ROOT)
    said, broken = collections.defaultdict(list), f"exit {done.returncode}: {log.read_text()[-2000:]}" if done.returncode else None
    for text in done.stdout.splitlines():
        try:
            line = json.loads(text)
            said[line.pop("target")].append(line)
        except ValueError:
            broken = f"not a line of a client: {text[:2000]}"
    for target in targets if broken else ():
        said[target["target"]].append({"kind": "failed", "message": broken})
    return said


# Cells.


def cover(cells):
    """Few of the cells, such that each pair of values that stands in any cell stands in one of these. Greedy, and always the same."""
    pairs = {cell: set(itertools.combinations(enumerate(cell), 2)) for cell in cells}
    missing, chosen, used = set().union(*pairs.values()), [], collections.Counter()
    while missing:
        # The first of those that cover most; among equals, one of values that were not used much.
        chosen.append(max(cells, key=lambda cell: (len(pairs[cell] & missing), -sum(used[value] for value in enumerate(cell)))))
        missing -= pairs[chosen[-1]]
        used.update(enumerate(chosen[-1]))
    return chosen


def normalised(line, prefix, dropped):
    """A tool or an answer without what one connection may rightly say otherwise than another: the prefix of the aggregate (in names
    and in addresses of resources), what
    the newer revision gives to any result (who answered among it), and `dropped` members of tools. None if another server's."""
    line = json.loads(json.dumps(line))
    named = line.get(line["kind"], line)
    if not named["name"].startswith(prefix):
        return None
    named["name"] = named["name"].removeprefix(prefix)
    result = line.get("result", {})
    result.pop("resultType", None)
    strip_addresses(result, prefix.replace("__", "+"))
    if result.get("_meta", {}).pop("io.modelcontextprotocol/serverInfo", None) and not result["_meta"]:
        del result["_meta"]
    for member in dropped if line["kind"] == "tool" else ():
        named.pop(member, None)
    return line


def strip_addresses(value, prefix):
    """Takes the server's name from the addresses of resources, as the aggregate has them."""
    if isinstance(value, list):
        for each in value:
            strip_addresses(each, prefix)
    elif isinstance(value, dict):
        for name in ("uri", "url"):
            if isinstance(value.get(name), str):
                value[name] = value[name].removeprefix(prefix)
        for each in value.values():
            strip_addresses(each, prefix)


def compared(said, prefix, dropped):
    """What is compared of what a client said, by title: what it listed, by its name, then each answer, by its number."""
    lines = [normalised(line, prefix, dropped) for line in said if line["kind"] in ("call", *LISTED.values())]
    answers = [line for line in lines if line and line["kind"] == "call"]
    listed = {f"{line['kind']} {line[line['kind']]['name']}": line for line in lines if line and line["kind"] != "call"}
    return {**dict(sorted(listed.items())), **{f"call {number} {line['name']}": line for number, line in enumerate(answers)}}


def differences(mine, direct):
    """The title and a diff of each object that differs."""
    for title in {**direct, **mine}:
        texts = [json.dumps(side.get(title), indent=2, sort_keys=True, ensure_ascii=False) for side in (direct, mine)]
        if texts[0] != texts[1]:
            diff = difflib.unified_diff(*(text.splitlines() for text in texts), "direct", "through the gateway", lineterm="", n=2)
            yield title, "\n".join(line[:300] for line in itertools.islice(diff, 60))


class Run:
    """The gateway before everything that runs, and the targets that lead through it and past it."""

    def __init__(self, products, urls, every_call):
        self.products, self.urls, self.every_call = products, urls, every_call
        specs = {}
        for name, server in products.items():
            for transport in server.transports():
                specs[f"{name}-{transport}"] = server.stdio if transport == "stdio" else {"url": urls[name, transport]}
        self.project = Project(specs, policy="open")
        self.approve()
        self.project.launch()
        self.key = self.project.agent()  # It waits as long as the daemon needs to listen.
        self.project.wait_ready(120)

    def approve(self):
        """Approves every tool, and the concern of each that another server, the same one elsewhere, has its name."""
        self.project.interlock("catalog", "scan")

        def approve(*accepted):
            done = self.project.run("catalog", "approve", "--all", "--yes", *accepted)
            return [tool["reason"] for tool in json.loads(done.stdout)["refused"]]

        while refused := approve():  # Again, for the rest is compared with what was approved meanwhile.
            concerns = {concern for reason in refused for concern in reason.split("not accepted: ")[1].split(", ")}
            approve(*(part for concern in sorted(concerns) for part in ("--accept", concern)))

    def calls(self, client, server, prefix=""):
        limit = None if self.every_call else CLIENTS[client].calls
        return [{"name": prefix + name, "arguments": arguments} for name, arguments in self.products[server].calls[:limit]]

    def through(self, way, cells):
        """One connection through the gateway, for one cell, or for any number of them by the aggregate."""
        names = [f"{cell.server}-{cell.transport}" for cell in cells]
        one = names[0] if "NAME" in way else None
        calls = [call for cell, name in zip(cells, names) for call in self.calls(cell.client, cell.server, "" if one else f"{name}__")]
        target = {"target": json.dumps([way, names]), "list": list(LISTED), "calls": calls}
        if way.startswith("/mcp"):
            return {**target, "url": self.project.url + (f"/{one}" if one else ""), "headers": {"Authorization": f"Bearer {self.key}"}}
        command = self.project.command("stdio", *(["--server", one] if one else []))
        return {**target, "stdio": command, "env": {"INTERLOCK_AGENT_KEY": self.key}}

    def reference(self, cell):
        """What the cell is compared with: (client, server, transport)."""
        client = CLIENTS[cell.client]
        transport = "http" if cell.transport == "sse" and not client.sse else cell.transport
        older = client.older and transport not in self.products[cell.server].modern
        return client.older if older else cell.client, cell.server, transport

    def direct(self, reference):
        client, name, transport = reference
        target = {"target": json.dumps(reference), "list": list(LISTED), "calls": self.calls(client, name)}
        spec = self.products[name].stdio
        if transport == "stdio":
            return {**target, "stdio": [spec["command"], *spec["args"]], "env": spec.get("env", {})}
        return {**target, "url": self.urls[name, transport], "sse": transport == "sse"}

    def run(self, cells):
        """Runs the cells, each client in one process, and yields each with its verdict."""
        targets, where = collections.defaultdict(list), {}
        for client, way in itertools.product(CLIENTS, WAYS):
            mine = [cell for cell in cells if (cell.client, cell.way) == (client, way)]
            for group in [[cell] for cell in mine] if "NAME" in way else [mine] if mine else []:
                targets[client].append(self.through(way, group))
                where.update({cell: targets[client][-1]["target"] for cell in group})
        for reference in dict.fromkeys(map(self.reference, cells)):
            targets[reference[0]].append(self.direct(reference))
        # Three at a time, for they wait for servers as much as they compute. The slowest first.
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            order = sorted(targets, key=lambda client: "inspector" not in client)
            said = dict(zip(order, pool.map(lambda client: ask(client, targets[client]), order)))
        for cell in cells:
            reference = self.reference(cell)
            yield cell, *self.verdict(cell, said[cell.client][where[cell]], said[reference[0]][json.dumps(reference)])

    def verdict(self, cell, mine, direct):
        """same | known | different | failed, what, and how or why."""
        for side, lines in (("through the gateway", mine), ("direct", direct)):
            for line in lines:
                if line["kind"] == "failed":
                    return "failed", side, line["message"]
                if line["kind"] == "server" and side != "direct" and CLIENTS[cell.client].speaks not in (None, line["protocol"]):
                    return "different", "protocol", f"{line['protocol']} is spoken"
        # A client that speaks the newer revision reads no member of the older one; directly, at an older server, it speaks that.
        older = CLIENTS[cell.client].speaks == MODERN and cell.transport not in self.products[cell.server].modern
        dropped = ("execution",) if older else ()
        prefix = "" if "NAME" in cell.way else f"{cell.server}-{cell.transport}__"
        direct, mine = compared(direct, "", dropped), compared(mine, prefix, dropped)
        answers = sum(title.startswith("call") for title in direct)
        if answers != len(self.calls(cell.client, cell.server)) or len(direct) == answers:
            return "failed", "direct", f"{len(direct) - answers} tools and {answers} answers only"
        verdict = "same", None, None
        for title, diff in differences(mine, direct):
            known = next((why for at, of, why in KNOWN if at(cell) and of(title)), None)
            if not known:
                return "different", title, diff
            verdict = "known", title, known
        return verdict


def report(verdicts):
    kinds = ("same", "known", "different", "failed")
    print(f"\n{'':24}{'cells':>10}" + "".join(f"{kind:>10}" for kind in kinds))
    for field in ("client", "server", "transport", "way"):
        for value in dict.fromkeys(getattr(cell, field) for cell in verdicts):
            counts = collections.Counter(kind for cell, kind in verdicts.items() if getattr(cell, field) == value)
            print(f"{value:24}{sum(counts.values()):10}" + "".join(f"{counts[kind]:10}" for kind in kinds))
        print()


def main():
    begun = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--client", default="")
    parser.add_argument("--server", action="append", default=[])
    args = parser.parse_args()
    WORK.mkdir(parents=True)
    os.environ["NODE_COMPILE_CACHE"] = str(ROOT / "compiled")  # The same few programs start a hundred times.
    prepare()
    page = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=page.serve_forever, daemon=True).start()
    products = servers(f"http://127.0.0.1:{page.server_port}")
    product = [
        Cell(client, name, transport, way)
        for client, (name, server) in itertools.product(CLIENTS, products.items())
        for transport, way in itertools.product(server.transports(), WAYS)
    ]
    some = [cell for cell in product if args.client in cell.client and cell.server in (args.server or products)]
    cells = some if args.all or some != product else cover(product)
    products = {name: server for name, server in products.items() if any(cell.server == name for cell in cells)}
    processes, run, verdicts, reasons = [], None, {}, collections.Counter()
    try:
        run = Run(products, listen(products, processes), args.all)
        print(f"{len(products)} servers run after {time.monotonic() - begun:.0f} s", flush=True)
        shown = set()
        for cell, kind, what, how in run.run(cells):
            verdicts[cell] = kind
            if kind == "known":
                reasons[how] += 1
            elif kind != "same":
                print(f"{kind}: {cell.client}: `{cell.server}` over {cell.transport} by {cell.way}: {what}", flush=True)
                if (kind, cell.server, what) not in shown:
                    print(how, end="\n\n", flush=True)
                shown.add((kind, cell.server, what))
        verified = run.project.interlock("ledger", "verify")
        check("the ledger verifies", verified["verified"], verified)
    finally:
        if run:
            run.project.stop()
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
    report(verdicts)
    for why, count in reasons.items():
        print(f"known, in {count} cells: {why}")
    gone = [why for *_, why in KNOWN if why not in reasons] if cells == product else []
    for why in gone:
        print(f"known, and no longer so: {why}")
    counts = collections.Counter(verdicts.values())
    print(
        f"matrix: {len(cells)} of {len(product)} cells in {time.monotonic() - begun:.0f} s: {counts['same']} same, "
        f"{counts['known']} known to differ, {counts['different']} different, {counts['failed']} failed"
    )
    return 1 if counts["different"] or counts["failed"] or gone else 0


if __name__ == "__main__":
    sys.exit(main())
