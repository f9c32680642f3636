"""`tidegate demo`: start the stack, play every scenario, print the table, and say by the exit status how it went."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from rich.console import Console

from tidegate.demo import report
from tidegate.demo.materials import curl_lines
from tidegate.demo.playhouse import House, Store, open_house, processes_for
from tidegate.demo.scenarios import all_scenarios
from tidegate.demo.scenarios.scenario import Row, Scenario, play
from tidegate.demo.stack import StackError

FAILED = 1
INTERRUPTED = 130
_ENDING = (signal.SIGINT, signal.SIGTERM)


def show(store: Store, *, keep: bool = False, scenarios: Sequence[Scenario] | None = None) -> int:
    """Run the demo. The exit status is 0 only when every row is right; logs stay when one is not."""
    console = report.console()
    rows = all_scenarios(processes_for(store), to_the_end=not keep) if scenarios is None else scenarios
    directory = Path(tempfile.mkdtemp(prefix="tidegate-demo-"))
    for number in _ENDING:
        signal.signal(number, _leave)
    status = FAILED
    try:
        status = 0 if _perform(console, store, directory, rows, keep=keep) else FAILED
    except StackError as failure:
        console.print(str(failure), style="red", markup=False)
    except KeyboardInterrupt:
        status = INTERRUPTED
    finally:
        if status == FAILED:
            console.print(f"Logs and configuration are kept in {directory}", markup=False)
        else:
            shutil.rmtree(directory)
    return status


def _perform(console: Console, store: Store, directory: Path, scenarios: Sequence[Scenario], *, keep: bool) -> bool:
    started = time.monotonic()
    with (
        console.status("starting Envoy, tidegate and the model app …") as status,
        open_house(store, directory, nice=keep) as house,
    ):
        ready = time.monotonic()
        status.update("asking …")
        rows = play(scenarios, house.stage)
        status.stop()
        _print(console, store, rows, ready - started, time.monotonic() - ready)
        if keep:
            _stay(console, house)
    return all(row.outcome.ok for row in rows)


def _print(console: Console, store: Store, rows: Sequence[Row], starting: float, playing: float) -> None:
    console.print(report.table(rows))
    wrong = sum(not row.outcome.ok for row in rows)
    verdict = f"{wrong} of {len(rows)} FAILED" if wrong else f"all {len(rows)} as expected"
    console.print(
        f"{verdict} — limits in {store}, ready after {starting:.1f} s, played in {playing:.1f} s",
        style="bold red" if wrong else "green",
    )


def _stay(console: Console, house: House) -> None:
    console.print(f"\nLeft running at {house.base} until Ctrl-C. Try:\n")
    print(curl_lines(house.base, house.materials), flush=True)
    try:
        while True:
            signal.pause()
    except KeyboardInterrupt:
        console.print("stopping …")


def _leave(number: int, frame: FrameType | None) -> None:
    """The first signal stops everything that was started; a second does not stop the stopping.

    A shell starts its background jobs with SIGINT ignored: that one is taken, too.
    """
    del number, frame
    for ending in _ENDING:
        signal.signal(ending, signal.SIG_IGN)
    raise KeyboardInterrupt
