"""What the end-to-end suites share: a project in a fresh directory, the commands typed in it, and a plain MCP client.

Only Python's standard library. The binary is $INTERLOCK_BIN, the pinned peers are $PEERS_*.
"""

import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time

BIN = os.environ["INTERLOCK_BIN"]
FAKE = os.environ.get("INTERLOCK_FAKE_SERVER", str(pathlib.Path(BIN).with_name("interlock-fake-server")))
PEERS = pathlib.Path(__file__).resolve().parent.parent / "peers"
NODE, NPM = os.environ.get("PEERS_NODE", "node"), os.environ.get("PEERS_NPM", "")
PY1, PY2 = os.environ.get("PEERS_PY1", ""), os.environ.get("PEERS_PY2", "")


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Project:
    """A configured gateway in a directory of its own."""

    def __init__(self, servers, policy="starter", settings="", directory=None, api=None):
        self.dir = pathlib.Path(directory or tempfile.mkdtemp(dir=os.environ.get("SUITE_TMP")))
        self.dir.mkdir(parents=True, exist_ok=True)
        (self.dir / "passphrase").write_text("correct horse battery\n")
        (self.dir / "host.json").write_text(json.dumps({"mcpServers": servers}))
        self.port = free_port()
        self.interlock("init", "--from", str(self.dir / "host.json"), "--dir", str(self.dir), "--policy", policy, "--owner", "ada@example.org")
        self.config = self.dir / "interlock.toml"
        with self.config.open("a") as config:
            config.write(f'\n[listen]\nmcp = "127.0.0.1:{self.port}"\napi = {json.dumps(f"127.0.0.1:{api}" if api else False)}\n{settings}')
        self.daemon = None
        self.keys = {}

    def command(self, *args):
        return [BIN, "--config", str(self.dir / "interlock.toml"), "--passphrase-file", str(self.dir / "passphrase"), *args]

    def run(self, *args, **more):
        return subprocess.run(self.command("--json", *args), capture_output=True, text=True, timeout=120, **more)

    def interlock(self, *args, code=0):
        """Types one command and reads the JSON it prints."""
        done = self.run(*args)
        assert done.returncode == code, f"interlock {' '.join(args)}: exit {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}"
        try:
            return json.loads(done.stdout)
        except ValueError:
            return done.stdout

    def approve_all(self, *facts):
        self.interlock("catalog", "scan")
        return self.interlock("catalog", "approve", "--all", "--yes", *facts)

    def agent(self, name="builder"):
        self.keys[name] = self.interlock("agents", "add", name, "--owner", "ada@example.org")["key"]
        if self.daemon is None:
            self.interlock("stop")  # The command started one; the suites have their own as a child.
        return self.keys[name]

    def launch(self):
        """Starts the daemon as a child."""
        with open(self.dir / "daemon.log", "ab") as log:
            self.daemon = subprocess.Popen(self.command("run"), stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def start(self):
        """Starts the daemon as a child, and waits until its servers have been compared with the catalog."""
        self.launch()
        return self.wait_ready()

    def wait_ready(self, seconds=30):
        deadline = time.monotonic() + seconds
        while True:
            if self.daemon and self.daemon.poll() is not None:
                raise AssertionError(f"the daemon ended: {(self.dir / 'daemon.log').read_text()}")
            # The socket and not the command: this is asked often, and a process costs more than the answer.
            status = self.admin("status")
            if status and all(server["settled"] for server in status["servers"]):
                return status
            assert time.monotonic() < deadline, f"not ready: {status}\n{(self.dir / 'daemon.log').read_text()}"
            time.sleep(0.005)

    def admin(self, command, **params):
        """One command over the administration socket, as an outsider would write it. None where nobody listens."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(30)
            try:
                sock.connect(str(self.dir / ".interlock" / "admin.sock"))
                lines = sock.makefile("rw", encoding="utf-8", newline="\n")
                lines.write('{"interlock":1}\n')
                lines.flush()
                lines.readline()
                lines.write(json.dumps({"id": 1, "command": command, "params": params}) + "\n")
                lines.flush()
                answer = lines.readline()
            except (FileNotFoundError, ConnectionError):
                return None
        answer = json.loads(answer) if answer else {}
        assert "error" not in answer, answer
        return answer.get("result")

    def kill(self):
        self.daemon.send_signal(signal.SIGKILL)
        self.daemon.wait()

    def stop(self):
        self.run("stop")
        if self.daemon:
            self.daemon.wait(timeout=30)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/mcp"

    def client(self, key=None, path="/mcp"):
        return Client(self.port, key, path)

    def entries(self):
        return self.interlock("ledger", "search", "--limit", "100000")


class Client:
    """A modern MCP client of a few lines over one connection: one request, one answer."""

    def __init__(self, port, key=None, path="/mcp", timeout=30):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        self.key, self.path, self.next = key, path, 0

    def post(self, body, headers=None):
        base = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        if self.key:
            base["Authorization"] = f"Bearer {self.key}"
        self.connection.request("POST", self.path, body, {**base, **(headers or {})})
        answer = self.connection.getresponse()
        return answer.status, answer.read()

    def request(self, method, params=None, name=None):
        self.next += 1
        meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
        body = {"jsonrpc": "2.0", "id": self.next, "method": method, "params": {**(params or {}), "_meta": meta}}
        headers = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": method}
        if name:
            headers["Mcp-Name"] = name
        status, text = self.post(json.dumps(body), headers)
        answer = json.loads(text)
        assert answer.get("id") == self.next, f"{status}: {answer}"
        return answer

    def tools(self):
        return self.request("tools/list")["result"]["tools"]

    def call(self, tool, **arguments):
        return self.request("tools/call", {"name": tool, "arguments": arguments}, tool)


def code_of(answer):
    """The gateway's code in a refusal, or None for an answer of the server's."""
    if "error" in answer:
        return (answer["error"].get("data") or {}).get("code", answer["error"]["code"])
    return (answer["result"].get("structuredContent") or {}).get("code")


def check(what, held, detail=""):
    assert held, f"{what}: {detail}"
    print(f"ok  {what}", flush=True)


def filesystem(directory):
    return {"command": NODE, "args": [f"{NPM}/node_modules/@modelcontextprotocol/server-filesystem/dist/index.js", str(directory)]}


def memory(file):
    return {"command": NODE, "args": [f"{NPM}/node_modules/@modelcontextprotocol/server-memory/dist/index.js"], "env": {"MEMORY_FILE_PATH": str(file)}}


def everything():
    return {"command": NODE, "args": [f"{NPM}/node_modules/@modelcontextprotocol/server-everything/dist/index.js"]}


def sqlite(file):
    return {"command": f"{PY1}/bin/mcp-server-sqlite", "args": ["--db-path", str(file)]}


def git(directory):
    return {"command": f"{PY2}/bin/mcp-server-git", "args": ["--repository", str(directory)]}


def clock():
    return {"command": f"{PY2}/bin/mcp-server-time", "args": ["--local-timezone", "UTC"]}


def fake(effects, definitions=None):
    return {"command": FAKE, "args": [str(effects), *([str(definitions)] if definitions else [])]}
