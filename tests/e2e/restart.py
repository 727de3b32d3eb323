#!/usr/bin/env python3
"""One daemon takes over from another under load: no connection is refused, no client is told that its session is not known, each
call that was answered is in the ledger with its outcome, and a new daemon that cannot start leaves the old one serving."""

import json
import os
import pathlib
import tempfile
import threading
import time

from project import Client, Project, check, fake, free_port

RESTARTS = 3


class Legacy(Client):
    """A client of 2025-11-25 that holds one session and opens a connection whenever it has none."""

    def open(self):
        params = {"protocolVersion": "2025-11-25", "capabilities": {"roots": {}}, "clientInfo": {"name": "t", "version": "1"}}
        self.session = None
        self.send("initialize", params)
        return self

    def send(self, method, params):
        self.next += 1
        headers = {"MCP-Protocol-Version": "2025-11-25"}
        if self.session:
            headers["Mcp-Session-Id"] = self.session
        body = json.dumps({"jsonrpc": "2.0", "id": self.next, "method": method, "params": params})
        base = {"Content-Type": "application/json", "Accept": "application/json", "Authorization": f"Bearer {self.key}"}
        self.connection.request("POST", self.path, body, {**base, **headers})
        answer = self.connection.getresponse()
        text = answer.read()
        self.session = self.session or answer.headers["Mcp-Session-Id"]
        return answer.status, json.loads(text)


def load(client, call, stop, found):
    """Calls until told to stop. A connection that the old daemon closed while it was idle is opened again, as any client does."""
    while not stop.is_set():
        try:
            found.append(call(client))
        except ConnectionRefusedError as refused:
            found.append(("refused", str(refused)))
        except (ConnectionError, OSError) as closed:
            found.append(("closed", str(closed)))
            client.connection.close()
        except Exception as odd:  # http.client has many ways to say that a connection was closed
            found.append(("closed", f"{type(odd).__name__}: {odd}"))
            client.connection.close()


def main():
    scratch = pathlib.Path(tempfile.mkdtemp(dir=os.environ.get("SUITE_TMP")))
    project = Project({"work": fake(scratch / "effects")}, policy="open")
    try:
        project.approve_all()
        key = project.agent()
        project.start()
        first = project.admin("status")["pid"]
        name = "effect"
        params = {"name": name, "arguments": {"id": "x"}}

        def legacy(client):
            return client.send("tools/call", params)

        def modern(client):
            answer = client.request("tools/call", params, name)
            return 200 if "result" in answer else "error", answer

        clients = [(Legacy(project.port, key, "/mcp/work").open(), legacy) for _ in range(4)]
        clients += [(project.client(key, "/mcp/work"), modern) for _ in range(4)]
        stop, found = threading.Event(), [[] for _ in clients]
        threads = [
            threading.Thread(target=load, args=(client, call, stop, of), daemon=True)
            for (client, call), of in zip(clients, found)
        ]
        for thread in threads:
            thread.start()
        pids = [first]
        for _ in range(RESTARTS):
            time.sleep(0.7)
            pids.append(project.interlock("restart")["pid"])
        time.sleep(0.7)
        stop.set()
        for thread in threads:
            thread.join(60)
        check(f"{RESTARTS} daemons took over, one after the other", len(set(pids)) == RESTARTS + 1)
        project.daemon.wait(timeout=30)

        every = [each for of in found for each in of]
        kinds = {}
        for status, _ in every:
            kinds[status] = kinds.get(status, 0) + 1
        print(f"    answers by status: {kinds}")
        check("no connection was refused", "refused" not in kinds)
        check("no client was told that its session is not known", 404 not in kinds and 400 not in kinds)
        answers = [answer for status, answer in every if status == 200]
        good = [answer for answer in answers if "result" in answer and not answer["result"].get("isError")]
        wrong = [answer for answer in answers if answer not in good]
        check(f"all {len(answers)} answers are results", not wrong and len(good) > 100, wrong[:2])
        check("each client went on after each restart", all(len(of) > RESTARTS for of in found))

        # A new daemon that cannot start: the old one serves on.
        whole = project.config.read_text()
        other = free_port()
        for what, changed in {
            "cannot read its configuration": whole + "\nnonsense = 1\n",
            "would have another ledger": whole + '\n[data]\ndir = "elsewhere"\n',
            "would listen elsewhere": whole.replace(f":{project.port}", f":{other}"),
        }.items():
            project.config.write_text(changed)
            project.admin("restart")
            time.sleep(1)
            check(f"a new daemon that {what} takes nothing over", project.admin("status")["pid"] == pids[-1])
        project.config.write_text(whole)
        check("and the old one still answers", legacy(clients[0][0])[0] == 200)

        project.run("stop")
        time.sleep(0.5)
        outcomes = [entry for entry in project.entries() if "outcome" in entry["entry"]["event"]]
        done = [entry for entry in outcomes if entry["entry"]["event"]["outcome"]["status"] == "ok"]
        check("each answered call has its outcome in the ledger", len(done) >= len(good))
        unheard = len(done) - len(good) - 1  # one was made after the restarts
        check("each call that was made was answered", unheard == 0, f"{unheard} answers were lost")
        lost = [entry for entry in outcomes if entry["entry"]["event"]["outcome"]["status"] == "unknown"]
        check("no call that began was lost", not lost, lost[:1])
        project.interlock("ledger", "verify")
        check("the ledger verifies", True)
    finally:
        project.stop()


main()
