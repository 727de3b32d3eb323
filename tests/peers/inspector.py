#!/usr/bin/env python3
"""The command line of the MCP Inspector as the client. It does one thing per process, so this runs many of them.

    inspector.py [--mode legacy|auto|modern] [--at-once N] [--timeout SECONDS] <TARGETS

Targets and output are those of client.py, without {"kind":"server"}.
"""

import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading

from client import LISTS, parse, put

NODE, NPM = os.environ.get("PEERS_NODE", "node"), os.environ["PEERS_NPM"]
INSPECTOR = f"{NPM}/node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"
IS_ERROR = 5  # the exit code for a result with `isError`, which is on standard output all the same


class Failed(Exception):
    pass


def say(*line, printing=threading.Lock(), **members):
    """`put`, for threads: standard output takes what two of them write at once to pieces."""
    with printing:
        put(*line, **members)


def entry(target):
    if "stdio" in target:
        command, *args = target["stdio"]
        return {"type": "stdio", "command": command, "args": args, "env": target.get("env", {})}
    return {"type": "sse" if target.get("sse") else "streamable-http", "url": target["url"], "headers": target.get("headers", {})}


def run(args, home, config, method, *more):
    command = [NODE, INSPECTOR, "--cli", "--config", str(config), "--server", "peer", "--format", "json", "--quiet"]
    env = {**os.environ, "HOME": home}  # It keeps files of its own there.
    done = subprocess.run(
        [*command, "--protocol-era", args.mode, "--method", method, *more],
        capture_output=True, text=True, timeout=args.timeout, env=env, stdin=subprocess.DEVNULL,
    )
    try:
        return json.loads(done.stdout)["result"] if done.returncode in (0, IS_ERROR) else json.loads(done.stderr)
    except (ValueError, KeyError):
        raise Failed(f"exit {done.returncode}: {done.stdout} {done.stderr}") from None


def ask(args, home, number, target):
    config = pathlib.Path(home) / f"{number}.json"
    config.write_text(json.dumps({"mcpServers": {"peer": entry(target)}}))
    for kind in target.get("list", ["tools"]):
        listed = run(args, home, config, f"{kind}/list")
        if "error" in listed:
            raise Failed(f"{kind}/list: {listed['error']}")
        for item in listed[kind]:
            say(target, LISTS[kind], **{LISTS[kind]: item})
    for call in target.get("calls", []):
        arguments = json.dumps(call.get("arguments", {}))
        result = run(args, home, config, "tools/call", "--tool-name", call["name"], "--tool-args-json", arguments)
        say(target, "call", name=call["name"], **(result if set(result) == {"error"} else {"result": result}))


def main():
    args = parse(sys.argv[1:])
    targets = json.load(sys.stdin)

    def one(numbered):
        try:
            ask(args, home, *numbered)
        except (Failed, subprocess.TimeoutExpired) as error:
            say(numbered[1], "failed", message=str(error))

    with tempfile.TemporaryDirectory() as home, concurrent.futures.ThreadPoolExecutor(args.at_once) as pool:
        list(pool.map(one, enumerate(targets)))


if __name__ == "__main__":
    main()
