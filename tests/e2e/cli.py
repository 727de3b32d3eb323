#!/usr/bin/env python3
"""The command line as people and scripts meet it: exit codes, messages, `--json`, standard input, colour; the daemon on
demand; what comes into force and what does not; proofs that a stranger checks."""

import json
import os
import pathlib
import pty
import re
import shutil
import socket
import subprocess
import sys
import threading
import time

from project import BIN, Project, check, code_of, fake

VERIFY = str(pathlib.Path(BIN).with_name("interlock-verify"))
root = pathlib.Path(os.environ["SUITE_TMP"])
# With a condition: what is forbidden without one is no tool at all for the agent.
NO_EFFECTS = """@id("no-effects")
@reason("not today")
forbid (principal, action == Interlock::Action::"fake/effect", resource)
when { context.args has id };
"""


def typed(project, *args, **more):
    """A command with neither `--json` nor a terminal."""
    return subprocess.run(project.command(*args), capture_output=True, text=True, timeout=60, start_new_session=True, **{"stdin": subprocess.DEVNULL, **more})


def bare(*args, **more):
    return subprocess.run([BIN, *args], capture_output=True, text=True, timeout=60, start_new_session=True, **{"stdin": subprocess.DEVNULL, **more})


def eventually(what, held, seconds=10):
    deadline = time.monotonic() + seconds
    while not (found := held()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    check(what, True)
    return found


def usage(project):
    done = bare("frobnicate")
    check("an unknown command is usage", done.returncode == 2 and "frobnicate" in done.stderr, done.stderr)
    done = bare("agents", "ad", "x")
    check("... and a near miss is told", done.returncode == 2 and "add" in done.stderr, done.stderr)
    done = bare("agents", "add", "x")
    check("a missing argument is named", done.returncode == 2 and "--owner" in done.stderr, done.stderr)
    done = bare("--help")
    check("the help says what exit codes mean", done.returncode == 0 and "Exit codes:" in done.stdout and "could not answer" in done.stdout, done.stdout)
    done = bare("--config", str(root / "nowhere" / "interlock.toml"), "status")
    check("no configuration: says which file and what to do", done.returncode == 2 and "nowhere/interlock.toml" in done.stderr and "interlock init" in done.stderr, done.stderr)

    good = project.config.read_text()
    line = good.splitlines().index("[listen]") + 2
    for before, after, place, hint in (
        ("[listen]\nmcp", "[listen]\nmpc", f"interlock.toml:{line}:1:", "`mcp`"),
        ("mode = \"enforcing\"", "mode = \"enforce\"", "interlock.toml:4:8:", "enforcing"),
        ("[servers.fake]\ncommand", "[servers.fake]\ncomand", "interlock.toml:8:1:", "`command`"),
        ("[servers.fake]", "[servers.fake", "interlock.toml:7:", ""),
    ):
        assert before in good, before
        project.config.write_text(good.replace(before, after))
        done = typed(project, "status")
        check(f"`{after.splitlines()[-1]}`: {done.stderr.splitlines()[0].split('/')[-1]}", done.returncode == 2 and place in done.stderr and hint in done.stderr, done.stderr)
        told = json.loads(project.run("status").stderr)
        check("... the same with --json", told["exit"] == 2 and place in told["error"], told)
    project.config.write_text(good)


def passphrase(project):
    command = [part for part in project.command("agents", "add", "x", "--owner", "y") if "passphrase" not in part]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, start_new_session=True)
    check("no passphrase and no terminal: says how to give one", done.returncode == 2 and "--passphrase-file" in done.stderr, done.stderr)
    command[-5:-5] = ["--passphrase-file", "/nonexistent"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, start_new_session=True)
    check("a passphrase file that is not there is named", done.returncode == 2 and "/nonexistent" in done.stderr, done.stderr)
    command[command.index("/nonexistent")] = "-"
    command[-3:] = ["piped", "--owner", "ada@example.org"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, input="correct horse battery\n", start_new_session=True)
    check("`--passphrase-file -` reads standard input", done.returncode == 0, done.stderr)
    # It started a daemon.
    project.interlock("stop")


def daemons(project, key):
    """One daemon, started by whoever needs it first."""
    check("`status` starts nothing, and its answer is no", project.interlock("status", code=1) == {"running": False})
    ask = '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}\n'
    found = []

    def host():
        done = subprocess.run(project.command("stdio"), input=ask, capture_output=True, text=True, timeout=60, env={**os.environ, "INTERLOCK_AGENT_KEY": key})
        found.append((done.returncode, done.stdout, done.stderr))

    hosts = [threading.Thread(target=host) for _ in range(5)]
    for each in hosts:
        each.start()
    for each in hosts:
        each.join()
    good = [json.loads(out)["result"]["protocolVersion"] for code, out, _ in found if code == 0 and out]
    check("five hosts at once find no daemon: one is started, all are served", good == ["2025-11-25"] * 5, found)
    pid = project.interlock("status")["pid"]
    done = typed(project, "run")
    check("a second daemon is refused and the first one's process named", done.returncode == 3 and str(pid) in done.stderr, done.stderr)
    done = subprocess.run(project.command("stdio"), input=ask, capture_output=True, text=True, timeout=60, env={**os.environ, "INTERLOCK_AGENT_KEY": "ilk_" + "0" * 64})
    check("`stdio` with a wrong key is refused", done.returncode == 1 and not done.stdout and "key" in done.stderr, done)
    done = subprocess.run(project.command("stdio", "--server", "nowhere"), input=ask, capture_output=True, text=True, timeout=60, env={**os.environ, "INTERLOCK_AGENT_KEY": key})
    check("`stdio --server` with a name that is not configured is usage", done.returncode == 2 and "no server of this name" in done.stderr, done)
    project.interlock("stop")
    check("`stop` returns when it is gone", not pathlib.Path(f"/proc/{pid}").exists() or "Z" in pathlib.Path(f"/proc/{pid}/stat").read_text())
    project.interlock("stop")
    check("`stop` without a daemon is no error", True)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", project.port))
        taken.listen()
        done = typed(project, "run")
        check("a port in use: says which and where to change it", done.returncode == 2 and str(project.port) in done.stderr and "listen.mcp" in done.stderr, done.stderr)
        done = typed(project, "agents", "list")
        check("... also when the daemon was started on demand", done.returncode == 3 and str(project.port) in done.stderr and "listen.mcp" in done.stderr, done.stderr)


def every_json(project):
    """Each command with --json prints one document (`tail`: one on each line), and nothing else."""
    call = next(e["entry"]["event"]["intent"]["call"] for e in project.entries() if "intent" in e["entry"]["event"])
    out = str(root / "claims-json")
    claim = json.loads(project.run("claim", "issue", "--out", out).stdout)["claims"][0]["record"]
    for args, code in (
        (("status",), 0),
        (("doctor",), None),
        (("catalog", "scan"), 0),
        (("catalog", "show"), 0),
        (("catalog", "show", "fake/peek"), 0),
        (("catalog", "diff"), 0),
        (("catalog", "verify"), 0),
        (("catalog", "approve", "fake", "--yes"), 0),
        (("policy", "check"), 0),
        (("policy", "test"), 0),
        (("policy", "sign"), 0),
        (("policy", "explain", call), 0),
        (("policy", "explain", "fake/peek", "--arguments", '{"id":"1"}', "--agent", "builder"), 0),
        (("agents", "list"), 0),
        (("agents", "show", "builder"), 0),
        (("agents", "add", "spare", "--owner", "ada@example.org"), 0),
        (("agents", "suspend", "spare"), 0),
        (("agents", "resume", "spare"), 0),
        (("agents", "retire", "spare"), 0),
        (("approvals", "list"), 0),
        (("approvals", "list", "--all"), 0),
        (("ledger", "verify"), 0),
        (("ledger", "search", "--agent", "builder", "--arguments"), 0),
        (("ledger", "show", call), 0),
        (("ledger", "show", "0"), 0),
        (("ledger", "prove", call), 0),
        (("ledger", "prove", call, "--out", str(root / "r.json")), 0),
        (("claim", "show", claim), 0),
        (("claim", "verify", claim), 0),
        (("init", "--from", str(project.dir / "host.json"), "--dir", str(root / "again"), "--owner", "ada@example.org"), 0),
    ):
        done = project.run(*args)
        assert code is None or done.returncode == code, f"{args}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        try:
            json.loads(done.stdout)
        except ValueError as e:
            raise AssertionError(f"{args}: {e}\n{done.stdout}")
        assert "\x1b" not in done.stdout + done.stderr, args
    for line in project.run("ledger", "tail", "-n", "5").stdout.splitlines():
        json.loads(line)
    check("--json on every command is JSON", True)
    for args in (("agents", "show", "nobody"), ("ledger", "show", "call-00"), ("approvals", "show", "approval-00"), ("claim", "show", "/nonexistent")):
        done = project.run(*args)
        told = json.loads(done.stderr)
        assert done.returncode == told["exit"] == 2 and not done.stdout, (args, done)
    check("... and so are refusals, on standard error", True)
    done = project.run("agents", "add", "builder", "--owner", "ada@example.org")
    check("a name that is taken: the answer is no", done.returncode == 1 and "already" in done.stderr, done)
    done = project.run("agents", "suspend", "nobody")
    check("a name that nobody has: usage", done.returncode == 2 and "nobody" in done.stderr, done)

    explained = project.run("policy", "explain", "fake/peek", "--arguments", "-", input='{"id":"1"}')
    check("`policy explain --arguments -` reads standard input", explained.returncode == 0, explained.stderr)
    told = project.run("claim", "show", "-", input=pathlib.Path(claim).read_text())
    check("`claim show -` reads standard input", told.returncode == 0 and json.loads(told.stdout)["subject"], told.stderr)
    told = project.run("claim", "verify", "-", input=pathlib.Path(claim).read_text())
    check("`claim verify -` reads standard input", told.returncode == 0, told.stdout + told.stderr)


def colour(project):
    def on_terminal(**env):
        ours, theirs = pty.openpty()
        clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE")}
        done = subprocess.Popen(project.command("status"), stdin=theirs, stdout=theirs, stderr=theirs, env={**clean, "TERM": "xterm-256color", **env})
        os.close(theirs)
        seen = b""
        try:
            while more := os.read(ours, 4096):
                seen += more
        except OSError:
            pass
        os.close(ours)
        assert done.wait(timeout=30) == 0, seen
        return seen

    check("a terminal sees colour", b"\x1b[" in on_terminal())
    check("NO_COLOR: none", b"\x1b[" not in on_terminal(NO_COLOR="1"))
    check("a pipe: none", "\x1b" not in typed(project, "status").stdout)


def checked_policy(project):
    bundle = project.dir / "policy" / "mine.cedar"
    lines = ['@id("mine")', "forbid (", "  principal,", '  action == Interlock::Action::"fake/effect",', "  resource", ")", "when { context.args has id && context.args.id > 7 };", ""]
    bundle.write_text("\n".join(lines))
    done = typed(project, "policy", "check")
    check(f"a type error in an argument: {done.stdout.splitlines()[0]}", done.returncode == 1 and re.search(r"mine\.cedar:7:\d+: ", done.stdout), done.stdout + done.stderr)
    bundle.write_text(bundle.read_text().replace("context.args.id > 7", 'context.args.idd == "7"'))
    done = typed(project, "policy", "check")
    check(f"an argument that does not exist: {done.stdout.splitlines()[0]}", done.returncode == 1 and re.search(r"mine\.cedar:7:\d+: ", done.stdout) and "idd" in done.stdout, done.stdout + done.stderr)
    done = typed(project, "policy", "sign")
    check("... is not signed either", done.returncode == 2 and "mine.cedar:7:" in done.stderr, done.stderr)
    bundle.unlink()


def reload(project, client):
    """What the operator signed comes into force without a restart; nothing else does."""
    policy = project.dir / "policy"
    pid = project.admin("status")["pid"]
    version = project.admin("status")["policy"]["version"]
    check("the tool works", code_of(client.call("fake__effect", id="a")) is None)
    old = root / "old-policy"
    shutil.copytree(policy, old)

    (policy / "no-effects.cedar").write_text(NO_EFFECTS)
    refused = eventually("an unsigned edit is shown by `status`", lambda: project.admin("status")["refused"])
    check(f"... with the reason: {refused[0]}", "policy" in refused[0] or "no-effects" in refused[0], refused)
    check("... and by `status` on a terminal", "not in force" in typed(project, "status").stdout)
    check("... and is not in force", code_of(client.call("fake__effect", id="b")) is None and project.admin("status")["policy"]["version"] == version)
    signed = project.interlock("policy", "sign")
    check("signed, it is in force at once", signed["version"] == version + 1 and not signed["refused"] and code_of(client.call("fake__effect", id="c")) == "policy_denied", signed)
    status = project.admin("status")
    check("... in the same process", status["pid"] == pid and status["policy"]["version"] == version + 1 and not status["refused"], status)

    new = root / "new-policy"
    shutil.copytree(policy, new)
    replace(policy, old)
    refused = eventually("an older signed bundle is refused", lambda: project.admin("status")["refused"])
    check(f"... with the reason: {refused[0]}", str(version) in refused[0] and str(version + 1) in refused[0], refused)
    check("... what was in force stays", code_of(client.call("fake__effect", id="d")) == "policy_denied")
    project.kill()
    project.start()
    client = project.client(project.keys["builder"])
    check("... and after a restart nothing is allowed", code_of(client.call("fake__effect", id="e")) is not None and not project.admin("status")["policy"]["in_force"], project.admin("status"))
    replace(policy, new)
    eventually("the newest one comes back", lambda: project.admin("status")["policy"]["in_force"])
    (policy / "no-effects.cedar").unlink()
    project.interlock("policy", "sign")
    check("the tool works again", code_of(client.call("fake__effect", id="f")) is None)

    catalog = project.dir / "catalog.lock.json"
    good = catalog.read_text()
    assert "Returns its arguments." in good
    catalog.write_text(good.replace("Returns its arguments.", "Returns its arguments and more."))
    refused = eventually("a catalog changed by hand is refused", lambda: project.admin("status")["refused"])
    check(f"... with the reason: {refused[0]}", "catalog.lock.json" in refused[0], refused)
    check("... agents see the approved text", {t["name"]: t for t in client.tools()}["fake__peek"]["description"] == "Returns its arguments.")
    verified = project.interlock("catalog", "verify", code=1)
    check("`catalog verify` says so", not verified["verified"] and verified["reason"], verified)
    catalog.write_text(good)
    eventually("put back, nothing is refused", lambda: not project.admin("status")["refused"])
    return client


def replace(directory, by):
    shutil.rmtree(directory)
    shutil.copytree(by, directory)


def advisory(project):
    project.stop()
    good = project.config.read_text()
    project.config.write_text(good.replace('mode = "enforcing"', 'mode = "advisory"'))
    (project.dir / "policy" / "no-effects.cedar").write_text(NO_EFFECTS)
    project.interlock("policy", "sign")
    project.start()
    client = project.client(project.keys["builder"])
    answer = client.call("fake__effect", id="advised")
    note = answer["result"].get("_meta", {}).get("interlock/advisory")
    check("advisory: what policy denies is forwarded, with a note", code_of(answer) is None and note == {"decision": "deny", "code": "policy_denied", "reason": "not today"}, answer)
    check("... what it allows has none", "_meta" not in client.call("fake__peek", id="1")["result"])
    check("... what is unknown is not forwarded", code_of(client.call("fake__nothing")) == "unknown_tool")
    intent = project.interlock("ledger", "search", "--kind", "intent", "--tool", "fake/effect", "--limit", "1")[0]["entry"]["event"]["intent"]
    check("... the entry has the mode and the decision that would have been", intent["mode"] == "advisory" and intent["decision"]["outcome"] == "deny", intent)
    project.stop()
    project.config.write_text(good)
    (project.dir / "policy" / "no-effects.cedar").unlink()
    project.interlock("policy", "sign")
    project.start()


def proof(project, client):
    """Files that somebody else checks with nothing but a key."""
    answer = client.call("fake__effect", id="proven")
    assert code_of(answer) is None, answer
    call = project.interlock("ledger", "search", "--kind", "intent", "--tool", "fake/effect", "--limit", "1")[0]["entry"]["event"]["intent"]["call"]
    receipt, claims = root / "receipt.json", root / "claims"
    proved = project.interlock("ledger", "prove", call, "--out", str(receipt))
    claim = pathlib.Path(project.interlock("claim", "issue", "--out", str(claims))["claims"][0]["record"])
    check("the key to check a receipt with is told", proved["key"] == project.admin("status")["log_key"], proved)
    (root / "log.key").write_text(proved["key"] + "\n")
    project.stop()

    def verify(*files, code):
        # Nothing of the project is within its reach.
        done = subprocess.run([VERIFY, *files], capture_output=True, text=True, timeout=60, cwd="/", env={})
        assert done.returncode == code, f"{files}: exit {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    key = ("--key", str(root / "log.key"), "--key", str(claims / "claim.key"))
    verify(str(receipt), *key, code=0)
    check("the receipt verifies offline", True)
    transcript = ("--transcript", str(claim.with_suffix(".transcript.ndjson")))
    verify(str(claim), *transcript, *key, code=0)
    check("the claim verifies offline, with its transcript", True)
    for file, more in ((receipt, ()), (claim, transcript)):
        good, refused, tried = file.read_bytes(), 0, 0
        for at in range(0, len(good), max(1, len(good) // 40)):
            bad = bytearray(good)
            bad[at] ^= 1
            changed = root / "changed.json"
            changed.write_bytes(bad)
            tried += 1
            done = subprocess.run([VERIFY, str(changed), *more, *key], capture_output=True, text=True, timeout=60, cwd="/", env={})
            refused += done.returncode == 1
        check(f"{file.stem.split('-')[0]}: {refused} of {tried} flipped bits are refused", refused == tried, (refused, tried))
    other = Project({"fake": fake(root / "effects-2")}, policy="open")
    other.approve_all()
    other.start()
    (root / "other.key").write_text(other.admin("status")["log_key"] + "\n")
    other.stop()
    verify(str(receipt), "--key", str(root / "other.key"), code=1)
    check("under another log's key it is not verified", True)


project = Project({"fake": fake(root / "effects")}, policy="open")
usage(project)
project.approve_all("--effects", "fake/effect=write", "--effects", "fake/peek=read")
passphrase(project)
key = project.agent()
try:
    daemons(project, key)
    project.start()
    client = project.client(key)
    assert code_of(client.call("fake__effect", id="first")) is None
    checked_policy(project)
    every_json(project)
    colour(project)
    client = reload(project, client)
    advisory(project)
    proof(project, project.client(key))
finally:
    project.stop()
sys.exit(0)
