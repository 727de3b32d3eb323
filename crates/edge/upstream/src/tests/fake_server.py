# A server on standard streams that can break every rule. Behaviour by tool name; ERA and START by environment.
import json, os, subprocess, sys, time

out = sys.stdout.buffer
modern = os.environ.get("ERA") == "modern"
start = os.environ.get("START", "")
tools = [{"name": "echo", "inputSchema": {"type": "object"}}]


def line(text):
    out.write(text.encode() + b"\n")
    out.flush()


def send(message):
    line(json.dumps(message))


if start == "utf16":
    out.write('{"jsonrpc":"2.0","method":"x"}\n'.encode("utf-16-le"))
    out.flush()
    time.sleep(60)
if start == "die":
    print("cannot start with " + os.environ["TOKEN"], file=sys.stderr)
    sys.exit(3)
if start == "bom":
    out.write(b"\xef\xbb\xbf")
if start == "logs":
    line("starting up ...")
    line("{broken")
    line("")

for raw in sys.stdin:
    request = json.loads(raw)
    method, id = request.get("method"), request.get("id")
    result = lambda r: send({"jsonrpc": "2.0", "id": id, "result": r})
    if method is None or id is None:
        if method == "notifications/cancelled":
            with open(os.environ["NOTES"], "a") as notes:
                notes.write(raw)
        if method is None and "error" in request:
            with open(os.environ["NOTES"], "a") as notes:
                notes.write(raw)
        continue
    info = {"serverInfo": {"name": "fake", "version": "1"}, "capabilities": {"tools": {"listChanged": True}}}
    if method == "initialize" and not modern:
        result({"protocolVersion": "2024-11-05", **info})
    elif method == "initialize" and start == "strict":
        sys.exit(1)
    elif method == "server/discover" and modern:
        result({"supportedVersions": ["2026-07-28"], **info})
    elif method == "tools/list":
        result({"tools": tools[:1], "nextCursor": "two"} if "cursor" not in request["params"] else {"tools": tools[1:]})
    elif method == "tools/call":
        tool = request["params"]["name"]
        arguments = request["params"].get("arguments", {})
        if tool == "echo":
            result({"text": raw})
        elif tool == "env":
            result({"text": json.dumps(dict(os.environ))})
        elif tool == "reverse":
            # Answers in reverse order, once enough have come.
            held = globals().setdefault("held", [])
            held.append((id, raw))
            if len(held) == arguments["of"]:
                for i, r in reversed(held):
                    send({"jsonrpc": "2.0", "id": i, "result": {"text": r}})
                held.clear()
        elif tool == "twice":
            result({"text": raw})
            result({"text": "again"})
        elif tool == "foreign-first":
            send({"jsonrpc": "2.0", "id": 99999, "result": {}})
            send({"jsonrpc": "2.0", "id": "x", "result": {}})
            result({"text": raw})
        elif tool == "asks":
            send({"jsonrpc": "2.0", "id": 1, "method": "roots/list"})
            result({"text": raw})
        elif tool == "logs":
            line("a log line with " + os.environ["TOKEN"])
            result({"text": raw})
        elif tool == "invalid":
            line('{"jsonrpc":"2.0","id":%d,"result":{"a":1,"a":2}}' % id)
        elif tool == "big":
            out.write(b'{"jsonrpc":"2.0","id":%d,"result":{"text":"' % id)
            for _ in range(100):
                out.write(b"x" * (1 << 20))
            line('"}}')
        elif tool == "big-tail":
            out.write(b'{"result":{"text":"')
            for _ in range(3):
                out.write(b"x" * (1 << 20))
            line('"},"jsonrpc":"2.0","id":%d}' % id)
        elif tool == "die":
            out.write(b'{"jsonrpc":"2.0","id":%d,"resu' % id)
            out.flush()
            print("about to fail with " + os.environ["TOKEN"], file=sys.stderr)
            sys.exit(7)
        elif tool == "child":
            grandchild = subprocess.Popen(["sleep", "300"])
            result({"text": str(grandchild.pid)})
        elif tool == "changed":
            tools.append({"name": "new"})
            send({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
            result({"text": raw})
        elif tool == "deaf":
            time.sleep(60)
        # "hang": no answer
    elif method == "subscriptions/listen":
        send({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged"})
    else:
        send({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "no " + method}})
