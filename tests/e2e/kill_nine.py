#!/usr/bin/env python3
"""`kill -9` in a loop, under load: never an effect without its intent, and the ledger verifies each time.

One kill in four comes while the daemon is starting, which is when it closes what the kill before left open. The fake server syncs every effect to a file before it answers. After each kill the file is compared with the intents
in the ledger, whose arguments are read back from the vault. KILLS (200) sets how often."""

import os
import random
import sys
import threading
import time

from project import Project, check, code_of, fake

KILLS = int(os.environ.get("KILLS", "200"))
WORKERS = 6

random.seed(20261120)
root = os.environ["SUITE_TMP"]
effects = f"{root}/effects"
project = Project({"fake": fake(effects)}, policy="open")
project.approve_all("--effects", "fake/effect=write", "--effects", "fake/peek=read")
key = project.agent()
answered, lock = set(), threading.Lock()


def load(stop, round_number, worker):
    n = 0
    while not stop.is_set():
        client = project.client(key)
        try:
            while not stop.is_set():
                n += 1
                mark = f"{round_number}-{worker}-{n}"
                answer = client.call("fake__effect" if n % 3 else "fake__peek", id=mark)
                if n % 3 and code_of(answer) is None:
                    with lock:
                        answered.add(mark)
        except Exception:
            time.sleep(0.002)


def kill_one(round_number, starting):
    """Starts the daemon under load and kills it: how long it took until it served, None where it was not to get there."""
    stop = threading.Event()
    workers = [threading.Thread(target=load, args=(stop, round_number, w)) for w in range(WORKERS)]
    launched, took = time.monotonic(), None
    project.launch()
    for worker in workers:
        worker.start()
    if starting is None:
        project.wait_ready()
        took = time.monotonic() - launched
        time.sleep(random.uniform(0.0, 0.12))
    else:
        time.sleep(random.uniform(0.0, starting))
    assert project.daemon.poll() is None, f"it ended by itself: {(project.dir / 'daemon.log').read_text()}"
    project.kill()
    stop.set()
    for worker in workers:
        worker.join()
    return took


begun, starts = time.monotonic(), []
for round_number in range(KILLS):
    starting = sorted(starts)[len(starts) // 2] if round_number % 4 == 3 else None
    took = kill_one(round_number, starting)
    if took is not None:
        starts.append(took)
    if round_number % 20 == 19:
        print(f"    {round_number + 1} kills, {len(answered)} effects answered, {time.monotonic() - begun:.0f} s", flush=True)
    if round_number % 10 == 9 or round_number == KILLS - 1:
        verified = project.interlock("ledger", "verify")
        assert verified["verified"], verified

done = [line.split()[1] for line in open(effects, encoding="utf-8").read().splitlines() if line.startswith("effect ")]
intended = {}
for entry in project.interlock("ledger", "search", "--kind", "intent", "--limit", "10000000", "--arguments"):
    arguments = entry.get("arguments") or {}
    intended[arguments.get("id")] = intended.get(arguments.get("id"), 0) + 1
check(f"{KILLS} kills, {len(done)} effects, {len(intended)} intents", len(done) > KILLS / 2, len(done))
missing = [mark for mark in done if mark not in intended]
check("no effect without its intent", not missing, missing[:5])
check("no effect twice", len(done) == len(set(done)))
lost = [mark for mark in answered if mark not in set(done)]
check("every answered call had its effect", not lost, lost[:5])
project.start()
project.stop()
outcomes = project.interlock("ledger", "search", "--kind", "outcome", "--limit", "10000000")
unknown = sum(entry["entry"]["event"]["outcome"]["status"] == "unknown" for entry in outcomes)
check(f"{unknown} calls were open when a kill came, and were closed as unknown", unknown > 0)
verified = project.interlock("ledger", "verify")
check("the ledger verifies, and no call is left open", verified["verified"] and verified["open_calls"] == 0, verified)
sys.exit(0)
