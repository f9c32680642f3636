"""A log whose sink fails: what waits, what is given up, and what the chain says of it."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from tidegate.audit.chain import parse, split
from tidegate.audit.files import FileSink
from tidegate.audit.reading import lines_of
from tidegate.audit.sink import FilePlace, place_of, writer_name
from tidegate.audit.verify import verify
from tidegate.model import Reason
from tidegate.policy.compiled import Policy
from tidegate.revealing import Asked
from tidegate.telemetry import Telemetry

from tests.audit.world import ADA, POLICY, Fickle, Time, Told, a_decision, a_log, a_refusal, an_exchange


def kinds(sink: Fickle) -> list[str]:
    return [parse(split(record.line)[1])["kind"] for record in sink.kept]


async def test_nothing_is_available_before_the_first_record_is_kept() -> None:
    sink = Fickle(failing=True)
    log = a_log(sink)
    assert not log.available
    await log.start()
    assert not log.available
    log.decision(a_decision())
    sink.failing = False
    assert await log.flush()
    assert log.available
    await log.close()
    assert kinds(sink) == ["open", "decision", "close"]


async def test_a_sink_that_comes_back_is_found_without_anybody_calling() -> None:
    sink = Fickle(failing=True)
    log = a_log(sink)
    await log.start()
    sink.failing = False
    for _ in range(200):
        await asyncio.sleep(0.005)
        if log.available:
            break
    assert log.available
    await log.close()


async def test_what_there_is_no_room_for_is_counted_and_the_chain_says_where() -> None:
    sink, told = Fickle(), Told()
    log = a_log(sink, told=told, max_waiting=3, sleep=lambda _: asyncio.sleep(3600))
    await log.start()
    for number in range(5):
        log.decision(a_decision(f"r{number}"))
    assert not log.available
    assert await log.flush()
    assert log.available
    assert kinds(sink) == ["open", "gap", "decision", "decision", "decision"]
    assert parse(split(sink.kept[1].line)[1])["lost"] == told.lost == 2


async def test_refusals_for_want_of_the_log_are_counted_and_push_nothing_out() -> None:
    sink, told = Fickle(), Told()
    log = a_log(sink, told=told, max_waiting=2)
    await log.start()
    sink.failing = True
    for _ in range(50):
        log.decision(a_refusal(reason=Reason.AUDIT_UNAVAILABLE, status=503))
    log.response(*an_exchange())
    sink.failing = False
    await log.close()
    assert kinds(sink) == ["open", "gap", "response", "close"]
    assert told.lost == 50


async def test_one_record_that_cannot_be_made_stops_no_other() -> None:
    sink, told = Fickle(), Told()
    log = a_log(sink, told=told)
    await log.start()
    log.decision(a_decision(policy=object()))
    log.decision(a_decision("r2"))
    await log.close()
    assert kinds(sink) == ["open", "decision", "gap", "close"]
    assert [type(error) for error in told.errors]


async def test_what_waits_is_written_when_the_process_stops() -> None:
    sink = Fickle()
    log = a_log(sink)
    await log.start()
    for number in range(2000):
        log.decision(a_decision(f"r{number}"))
    await log.close()
    assert kinds(sink) == ["open", *["decision"] * 2000, "close"]


async def test_a_log_that_cannot_be_written_at_the_end_says_what_it_lost() -> None:
    sink, told = Fickle(), Told()
    log = a_log(sink, told=told)
    await log.start()
    sink.failing = True
    log.decision(a_decision())
    await log.close()
    assert told.lost == 1


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("/var/log", "must begin with"),
        ("http://example.com", "must begin with"),
        ("file://host/var/log", "three slashes"),
        ("file:var", "three slashes"),
        ("file:///x?max_size=0B", "max_size: must be from 1 byte"),
        ("file:///x?max_age=soon", "max_age: must be a duration"),
        ("file:///x?fsync=later", "batch or never"),
        ("file:///x?keep=3", "unknown option 'keep'"),
        ("redis://localhost?maxlen=many", "maxlen a number"),
        ("redis://localhost?stream=", "stream must be a name"),
    ],
)
def test_a_place_that_is_none_is_refused_in_words(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        place_of(url)


def test_a_writer_s_name_is_fit_for_a_file() -> None:
    assert writer_name("pod-1.example", "unix:/run/../x y") == "pod-1.example_unix_run_.._x_y"


async def test_to_note_a_decision_costs_no_more_than_to_log_it() -> None:
    """CPU time on the path of a decision; the least of several rounds, which the machine's load does not move."""
    decisions = [a_decision(f"r{number}") for number in range(500)]
    log = a_log(Fickle())
    await log.flush()
    telemetry = Telemetry(clock=Time(), stream=io.BytesIO())
    costs: dict[str, list[float]] = {"noted": [], "logged": []}
    for _ in range(15):
        for name, note in (("noted", log.decision), ("logged", lambda one: telemetry.decisions.record(one, 0.001))):
            started = time.process_time()
            for decision in decisions:
                note(decision)
            costs[name].append(time.process_time() - started)
        await log.flush()
        telemetry.decisions.flush()
    await log.close()
    assert min(costs["noted"]) < 2 * min(costs["logged"]), costs


async def test_a_sink_that_breaks_in_an_unforeseen_way_is_a_log_that_is_not_available_and_goes_on() -> None:
    class Broken(Fickle):
        def full(self, now: float) -> bool:
            if self.failing:
                raise ZeroDivisionError
            return False

    sink, told = Broken(), Told()
    log = a_log(sink, told=told)
    await log.start()
    sink.failing = True
    log.decision(a_decision())
    for _ in range(200):
        await asyncio.sleep(0.005)
        if not log.available:
            break
    assert not log.available
    assert isinstance(told.errors[0], ZeroDivisionError)
    sink.failing = False
    await log.close()
    assert kinds(sink) == ["open", "decision", "close"]
    assert told.lost == 0


@dataclass
class Gate(Time):
    """What a thread of the log asks, and where it then waits until it is let through."""

    shut: bool = False
    reached: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)

    def now(self) -> float:
        self._pass()
        return self.at

    def policy(self) -> Policy:
        self._pass()
        return POLICY

    def _pass(self) -> None:
        if self.shut:
            self.shut = False
            self.reached.set()
            assert self.opened.wait(30)


@pytest.mark.parametrize("step", ["sealing", "writing"])
async def test_who_asks_for_a_value_and_leaves_meanwhile_breaks_no_chain(
    tmp_path: Path, step: Literal["sealing", "writing"]
) -> None:
    gate, told = Gate(), Told()
    place = FilePlace(tmp_path, max_size=1)  # every batch begins a file, and asks what time it is
    log = a_log(
        FileSink(place, "w", clock=gate if step == "writing" else Time()),
        told=told,
        policy=gate.policy if step == "sealing" else lambda: POLICY,
        sleep=lambda _: asyncio.sleep(3600),
    )
    await log.start()
    gate.shut = True
    asking = asyncio.create_task(log.keep(Asked("r1", ADA, "[EMAIL_1]", "EMAIL", "a ticket", None, POLICY.version)))
    assert await asyncio.to_thread(gate.reached.wait, 30)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    log.decision(a_decision("r2"))
    later = asyncio.create_task(log.flush())
    await asyncio.sleep(0)  # it begins before the thread is let through
    gate.opened.set()
    assert await later
    await log.flush()
    assert log.available
    report = verify(lines_of(str(tmp_path)))
    assert report.broken is None
    kept = [parse(split(line.data)[1]) for line in lines_of(str(tmp_path))]
    assert [(record["kind"], record.get("request_id")) for record in kept if record["kind"] != "open"] == [
        ("reveal", "r1"),
        ("decision", "r2"),
    ]
    assert told.lost == 0
