"""One command and its two workers, with a supervisor that is killed and workers that hang."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from os import kill
from pathlib import Path
from typing import Any

import pytest
from tidegate.demo.stack import Process, adjacent_ports, listening, serving

from tests.e2e.keys import write_files
from tests.e2e.stack import Gate, running_gate, until
from tests.e2e.test_workers import PATIENT
from tests.e2e.upstream import Hold, Upstream, chat, chunked, delta, finish, json_answer

PATIENCE = 120
HUNG = 8
"""Seconds, more than a busy machine keeps a process that is well from its turn."""
HURRIED = """
import asyncio, sys
from tidegate.supervisor import supervise
from tidegate.telemetry import logger
from tidegate.telemetry.workers import Workers
told = Workers(logger("info", sys.stderr.buffer))
sys.exit(asyncio.run(supervise(sys.argv[1:], 2, heard=0.1, patience=3, hung=1000, told=told)))
"""
"""The command, with no patience for a worker that does not end, and all of it for one that is silent."""


def events(log: Path, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


def pids(log: Path) -> dict[int, int]:
    """The newest process on each port."""
    return {int(line["address"].rpartition(":")[2]): line["pid"] for line in events(log, "serving")}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Gate]:
    """Two workers of one command; those who wait for a hanging one, and for streams to finish, do so in this order."""
    flags = {"health-grace": 1, "drain": 60, "hang-timeout": HUNG}
    directory = tmp_path_factory.mktemp("pair")
    with running_gate(directory, upstream, workers=2, together=True, flags=flags, **PATIENT) as gate:
        until(lambda: len(pids(gate.workers[0].log)) == 2, PATIENCE)
        yield gate
        if gate.workers[0].running:
            gate.workers[0].stop(60)


def test_a_worker_that_hangs_is_killed_and_comes_back(pair: Gate) -> None:
    (command,) = pair.workers
    before = pids(command.log)[pair.ports[0]]
    kill(before, signal.SIGSTOP)
    until(lambda: pids(command.log)[pair.ports[0]] != before, PATIENCE)
    killed = events(command.log, "a worker hangs and is killed")
    assert [line["seconds"] for line in killed if line["worker"] == 0] == [HUNG]
    until(lambda: all(serving(f"127.0.0.1:{port}") for port in pair.ports), PATIENCE)
    assert pair.get(json_answer(chat("hello"))).status_code == 200


def test_workers_whose_supervisor_was_killed_finish_their_streams_and_end(pair: Gate) -> None:
    """Each hears of it while the other lives, which therefore has not inherited the end that closed."""
    (command,) = pair.workers
    hold = Hold()
    answer = chunked([delta("mail bob@"), hold, delta("example.com, ok"), *finish()])
    with ExitStack() as stack:
        streams = []
        while not all(pair.metric("tidegate_streams", worker) for worker in range(2)):
            asked = stack.enter_context(pair.client()).stream("GET", "/predict/x", headers=pair.fields(answer))
            parts = stack.enter_context(asked).iter_text()
            streams.append((next(parts), parts))
        command.send(signal.SIGKILL)
        until(lambda: len(events(command.log, "draining")) == 2, PATIENCE)
        assert not events(command.log, "stopped")
        hold.open()
        texts = [begun + "".join(rest) for begun, rest in streams]
    assert all("[EMAIL]" in text and text.endswith("data: [DONE]\n\n") for text in texts)
    until(lambda: len(events(command.log, "stopped")) == 2, PATIENCE)
    until(lambda: not any(map(listening, pair.ports)), PATIENCE)


@pytest.fixture
def hurried(tmp_path: Path) -> Iterator[tuple[Process, list[int]]]:
    files = write_files(tmp_path)
    listen, metrics = adjacent_ports(2), adjacent_ports(2)
    given = {"policy": files.policy, "key-pepper-file": files.pepper, "workers": 2, "drain": 0, "health-grace": 0}
    given |= {"listen": f"127.0.0.1:{listen}", "metrics": f"127.0.0.1:{metrics}"}
    flags = [f"--{name}={value}" for name, value in given.items()]
    command = Process([sys.executable, "-c", HURRIED, *flags], tmp_path / "command.log")
    try:
        for port in (listen, listen + 1):
            command.wait_until(partial(serving, f"127.0.0.1:{port}"), timeout=300)
        until(lambda: len(pids(command.log)) == 2, PATIENCE)
        yield command, [listen, listen + 1]
    finally:
        command.kill()


def test_a_frozen_worker_holds_up_no_replacement_and_no_end(hurried: tuple[Process, list[int]]) -> None:
    command, ports = hurried
    before = pids(command.log)
    kill(before[ports[0]], signal.SIGSTOP)
    command.send(signal.SIGUSR2)
    until(lambda: events(command.log, "every worker is replaced"), PATIENCE)
    after = pids(command.log)
    assert not set(before.values()) & set(after.values())
    killed = "a worker that was to end did not, and is killed"
    assert {"worker": 0, "seconds": 3, "level": "warning"}.items() <= events(command.log, killed)[0].items()
    kill(after[ports[1]], signal.SIGSTOP)
    command.send(signal.SIGTERM)
    assert command.wait(PATIENCE) == 0
    assert not any(map(listening, ports))
    assert events(command.log, killed)[-1]["worker"] == 1
