#!/usr/bin/env python3
"""The first day: `init --apply` puts a real key or nothing into the host's file, `doctor` says what is wrong with what is there,
and a ledger obeys no other operator than its own."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys

from project import BIN, FAKE, check

root = pathlib.Path(os.environ["SUITE_TMP"])
home = root / "home"
host = home / ".config" / "Claude" / "claude_desktop_config.json"
host.parent.mkdir(parents=True)
(root / "passphrase").write_text("correct horse battery\n")
token = "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"
servers = {"fake": {"command": FAKE, "args": [str(root / "effects")], "env": {"API_TOKEN": token}}}
before = json.dumps({"mcpServers": servers, "theme": "dark"})
host.write_text(before)
environment = {**os.environ, "HOME": str(home), "USER": "ada", "INTERLOCK_PASSPHRASE_FILE": str(root / "passphrase")}
environment.pop("XDG_CONFIG_HOME", None)


def interlock(directory, *args):
    command = [BIN, "--config", str(directory / "interlock.toml"), *args]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)


def doctor(directory):
    done = interlock(directory, "--json", "doctor")
    report = json.loads(done.stdout)
    assert done.returncode == (0 if report["sound"] else 1), done
    return {found["id"]: found for found in report["checks"]}


def taken():
    """The default port, held by somebody else; None if it is theirs already."""
    try:
        return socket.create_server(("127.0.0.1", 7420))
    except OSError:
        return None


found = doctor(root)
check("without a configuration doctor says what to do", found["config.parses"]["status"] == "fail" and "init" in found["config.parses"]["mend"])

# The daemon cannot start: nothing is put into the host's file.
first = root / "first"
first.mkdir()
holder = taken()
done = interlock(first, "init", "--apply")
check("where no daemon can be started, `init --apply` says so", done.returncode == 3 and "no host was changed" in done.stderr, done)
check("it says what to type instead", "agents add claude-desktop --owner ada@localhost" in done.stdout, done.stdout)
check("the host's file is as it was", host.read_text() == before)
check("the secret moved and is not shown", token not in done.stdout + done.stderr and token not in (first / "interlock.toml").read_text())
if holder is None:
    print("127.0.0.1:7420, where `init --apply` starts a daemon, is taken on this machine: the rest could not run")
    sys.exit(77)
holder.close()

second = root / "second"
second.mkdir()
done = interlock(second, "init", "--apply", "--owner", "ada@example.org")
assert done.returncode == 0, done
try:
    changed = json.loads(host.read_text())
    entry = changed["mcpServers"].pop("interlock")
    key = entry["env"]["INTERLOCK_AGENT_KEY"]
    check("the host has Interlock alone, with a key", not changed["mcpServers"] and key.startswith("ilk_") and " " not in key)
    check("the rest of its file is as it was", changed["theme"] == "dark")
    check("the key is not shown", key not in done.stdout + done.stderr)
    agents = json.loads(interlock(second, "--json", "agents", "list").stdout)
    check("its agent is registered", [(a["id"], a["owner"]) for a in agents] == [("claude-desktop", "ada@example.org")], agents)

    found = doctor(second)
    check("doctor: nothing is approved yet", found["catalog.tools"]["status"] == "warn")
    check("doctor: the host uses Interlock", found["host.claude-desktop"]["status"] == "ok")
    for command in (["catalog", "scan"], ["catalog", "approve", "--all", "--yes"]):
        done = interlock(second, *command)
        assert done.returncode == 0, done
    found = doctor(second)
    failed = [f for f in found.values() if f["status"] == "fail"]
    check("doctor: after scan and approve nothing fails", not failed, failed)
    check("doctor: the server lists what was approved", found["server.fake.lists"]["status"] == "ok", found["server.fake.lists"])
    check("doctor: the whole ledger verifies", "all verified" in found["ledger.verifies"]["what"], found["ledger.verifies"])

    # What the host would start, as the host would start it.
    request = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "host", "version": "1"}}}
    started = subprocess.run([entry["command"], *entry["args"]], env={**environment, **entry["env"]}, input=json.dumps(request) + "\n",
                             capture_output=True, text=True, timeout=60)
    check("the entry starts Interlock", json.loads(started.stdout.splitlines()[0])["result"]["serverInfo"]["name"] == "interlock", started)

    # Another operator's key is not obeyed, however it got there.
    interlock(second, "stop")
    keys = second / ".interlock" / "keys"
    shutil.copy(keys / "operator.pub", root / "operator.pub")
    shutil.copy(first / ".interlock" / "keys" / "operator.pub", keys / "operator.pub")
    done = interlock(second, "run")
    check("with another operator's key the ledger does not start", done.returncode == 2 and "restore `keys/operator.pub`" in done.stderr, done)
    check("doctor says so", "last started with" in doctor(second)["keys.operator"]["what"])
    shutil.copy(root / "operator.pub", keys / "operator.pub")
    done = interlock(second, "agents", "list")
    check("with its own it starts again", done.returncode == 0, done)

    with (second / "interlock.toml").open("a") as config:
        config.write("\n[lisen]\n")
    found = doctor(second)["config.parses"]
    check("doctor shows a mistyped key with its place", found["status"] == "fail" and "did you mean `listen`?" in found["what"], found)
finally:
    text = (second / "interlock.toml").read_text()
    (second / "interlock.toml").write_text(text.removesuffix("\n[lisen]\n"))
    interlock(second, "stop")
