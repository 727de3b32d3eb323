#!/usr/bin/env python3
"""An HTTP API and a GraphQL endpoint as governed tools: what their descriptions say is listed, a call is one request,
policy holds, hostile arguments reach nobody, an edited description sets its tool aside, and the credential stays here."""

import http.server
import json
import os
import pathlib
import subprocess
import sys
import threading
import time

from project import Project, check, code_of

SECRET = "shop-t0p-s3cret-9f2c"
root = pathlib.Path(os.environ["SUITE_TMP"])
requests = []


class Api(http.server.BaseHTTPRequestHandler):
    """A shop with pets and a graph of them; notes every request."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        requests.append({"method": self.command, "path": self.path, "headers": {name.lower(): value for name, value in self.headers.items()}, "body": body})
        status, answer = 200, {"path": self.path, "tag": "tame"}
        if self.headers.get("Authorization") != f"Bearer {SECRET}":
            status, answer = 401, {"error": "who are you"}
        elif self.path == "/graphql":
            asked = json.loads(body)
            answer = {"data": {"pet": {"id": asked["variables"].get("id"), "name": "Rex"}}}
        elif self.path.startswith("/api/pets/missing"):
            status, answer = 404, {"error": "no such pet"}
        elif self.command == "POST":
            status, answer = 201, {"created": json.loads(body)}
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_DELETE = do_PUT = answer

    def log_message(self, *_):
        pass


api = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
threading.Thread(target=api.serve_forever, daemon=True).start()
base = f"http://127.0.0.1:{api.server_address[1]}"

DESCRIPTION = """
openapi: 3.0.3
info: {title: Pet shop, version: "7"}
servers: [{url: "https://not-used.example"}]
paths:
  /pets/{id}:
    get:
      operationId: getPet
      summary: One pet.
      parameters:
        - {name: id, in: path, required: true, schema: {type: string}}
        - {name: lang, in: query, schema: {type: string, enum: [de, en]}}
        - {name: Authorization, in: header, schema: {type: string}}
    trace: {}
  /pets:
    get:
      operationId: listPets
      summary: All pets.
    post:
      operationId: newPet
      summary: A new pet.
      requestBody:
        required: true
        content: {application/json: {schema: {type: object, required: [name], properties: {name: {type: string}}}}}
"""
SCHEMA = "type Query { pet(id: ID!): Pet }\ntype Mutation { rename(id: ID!, name: String!): Pet }\ntype Pet { id: ID! name: String }\n"

(root / "project" / "openapi").mkdir(parents=True)
document = root / "project" / "openapi" / "shop.yaml"
document.write_text(DESCRIPTION)
(root / "project" / "graph.graphql").write_text(SCHEMA)
servers = f"""
[servers.shop]
openapi = "openapi/shop.yaml"
url = "{base}/api"
headers = {{ Authorization = "env://SHOP_AUTHORIZATION" }}

[servers.graph]
graphql = "graph.graphql"
url = "{base}/graphql"
headers = {{ Authorization = "env://SHOP_AUTHORIZATION" }}
"""
os.environ["SHOP_AUTHORIZATION"] = f"Bearer {SECRET}"
project = Project({}, settings=servers, directory=root / "project")


def doctor():
    """The checks of the shop's description, whatever else there is to mend."""
    done = project.run("doctor")
    checks = {c["id"]: c for c in json.loads(done.stdout)["checks"]}
    return checks["server.shop.document"]


def settled(code, client, tool="shop__getPet", seconds=30, **arguments):
    """Calls until the answer has this code; how long that took."""
    begun = time.monotonic()
    while code_of(answer := client.call(tool, **arguments)) != code:
        assert time.monotonic() - begun < seconds, f"not {code} in time: {answer}"
        time.sleep(0.05)
    return time.monotonic() - begun


scan = project.interlock("catalog", "scan")
shop = scan["servers"]["shop"]
check("a scan says what the description has and no tool was made of", shop["left_out"] == ["TRACE /pets/{id}: the method is not one that tools may use"], shop)
check("and what is not as described", any("`Authorization` is not an argument" in n for n in shop["notes"]), shop)
shown = subprocess.run(project.command("catalog", "scan", "shop"), capture_output=True, text=True, timeout=60).stdout
check("people see both", "left out: TRACE /pets/{id}" in shown and "note: getPet: `Authorization`" in shown, shown)
proposed = {t["definition"]["name"]: t["proposal"]["facts"] for t in shop["tools"] + scan["servers"]["graph"]["tools"]}
check("GET is proposed as a read, POST as more", proposed["getPet"]["effects"] == ["read"] and "destructive" in proposed["newPet"]["effects"], proposed)
check("a query is proposed as a read, a mutation as more", proposed["query_pet"]["effects"] == ["read"] and "destructive" in proposed["mutation_rename"]["effects"], proposed)
check("the destination is the configured host", proposed["getPet"]["destination"] == {"host": "127.0.0.1"}, proposed)
check("looking at them sent nothing", requests == [], requests)

project.interlock("catalog", "approve", "--all", "--yes")
key = project.agent()
project.start()
try:
    client = project.client(key)
    tools = {t["name"]: t for t in client.tools()}
    check("the tools are listed", {"shop__getPet", "shop__listPets", "shop__newPet", "graph__query_pet"} <= set(tools), sorted(tools))
    answer = client.call("shop__getPet", id="a/b c", lang="de")
    check("a GET is answered", answer["result"]["structuredContent"]["tag"] == "tame", answer)
    seen = requests[-1]
    check("its path and query hold the arguments and nothing else", (seen["method"], seen["path"]) == ("GET", "/api/pets/a%2Fb%20c?lang=de"), seen)
    check("the gateway's credential goes with it, the agent's key does not", seen["headers"]["authorization"] == f"Bearer {SECRET}" and key not in json.dumps(seen), seen)
    answer = client.call("shop__getPet", id="missing")
    check("an HTTP error is an error of the tool", answer["result"]["isError"] and "404" in answer["result"]["content"][0]["text"], answer)
    answer = client.call("graph__query_pet", id="7", select="{ name }")
    check("a GraphQL query is answered", answer["result"]["structuredContent"]["data"]["pet"]["name"] == "Rex", answer)
    seen = json.loads(requests[-1]["body"])
    check("its document has the selection, its variables the arguments", "{ name }" in seen["query"] and seen["variables"] == {"id": "7"}, seen)

    sent = len(requests)
    answer = client.call("shop__newPet", body={"name": "Rex"})
    check("a POST waits for a human", code_of(answer) == "approval_required", answer)
    approval = answer["result"]["structuredContent"]["approval"]["id"]
    hostile = [
        {"id": "../../admin"}, {"id": ".."}, {"id": "%2e%2e"}, {"id": "..%2fadmin"}, {"id": "a\r\nHost: x"}, {"id": ""},
        {"id": "1", "lang": "xx"}, {"id": "1", "Authorization": "Bearer mine"}, {"id": ["1", "2"], "x": 1}, {},
    ]
    for arguments in hostile:
        answer = client.call("shop__getPet", **arguments)
        assert "error" in answer or answer["result"]["isError"], (arguments, answer)
    answer = client.call("graph__query_pet", id="7", select="{ name } } mutation { rename(id: 1)")
    assert answer["result"]["isError"] and "not sent" in answer["result"]["content"][0]["text"], answer
    check(f"{len(hostile) + 1} hostile calls and the one that waits sent nothing", len(requests) == sent, requests[sent:])
    project.interlock("approvals", "approve", approval, "--reason", "tests")
    answer = client.call("shop__newPet", body={"name": "Rex"})
    check("the approved POST is sent once", code_of(answer) is None and len(requests) == sent + 1, answer)
    check("with the agent's body", (requests[-1]["method"], requests[-1]["path"], json.loads(requests[-1]["body"])) == ("POST", "/api/pets", {"name": "Rex"}), requests[-1])
    check("other things than tools are not there", "error" in client.request("resources/read", {"uri": "shop+a:b"}, "shop+a:b"))

    # Where an argument goes is part of what was approved, even where the input schema stays the same.
    document.write_text(DESCRIPTION.replace("{name: lang, in: query,", "{name: lang, in: header,"))
    took = settled("tool_quarantined", client, id="1")
    check(f"an edited description set the changed tool aside after {took:.1f} s (re-listed every 60 s)", took < 10)
    check("the other tools go on", code_of(client.call("shop__listPets")) is None and code_of(client.call("graph__query_pet", id="1")) is None)
    diff = project.run("catalog", "diff")
    check("`catalog diff` shows the change", diff.returncode == 1 and "lang" in diff.stdout, diff.stdout)
    document.write_text("openapi: 3.0.3\npaths: {}\n")
    settled("tool_quarantined", client, "shop__listPets")
    answer = client.call("shop__listPets")
    check("a description without operations closes the server, and the refusal says why", "no operation" in json.dumps(answer), answer)
    found = doctor()
    check("`doctor` says what is wrong with it", found["status"] == "fail" and "no operation" in json.dumps(found), found)
    document.write_text(DESCRIPTION)
    took = settled(None, client, id="1")
    check(f"as it was approved it is back after {took:.1f} s", doctor()["status"] == "ok")
    document.write_text(DESCRIPTION.replace("One pet.", "One pet, by its number."))
    settled("tool_quarantined", client, id="1")
    project.interlock("catalog", "scan", "shop")
    project.interlock("catalog", "approve", "--yes", "shop/getPet")
    settled(None, client, id="1")
    check("once approved, the new definition is served", "by its number" in json.dumps(client.tools()))

    verified = project.interlock("ledger", "verify")
    check("the ledger verifies", verified, verified)
    calls = project.entries()
    shown = [project.run("ledger", "show", str(e["index"])).stdout for e in calls]
    everything = json.dumps(calls) + "".join(shown) + (project.dir / "daemon.log").read_text()
    check("entries name the tools", "getPet" in everything and "query_pet" in everything)
    check("the credential is in no entry and no log", SECRET not in everything)
    for file in project.dir.rglob("*"):
        if file.is_file():
            assert SECRET.encode() not in file.read_bytes(), file
    check("nor in any file of the project", True)
finally:
    project.stop()
    api.shutdown()
sys.exit(0)
