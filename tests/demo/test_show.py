"""The exit status says how it went: a single wrong row is enough, and then the logs stay."""

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tidegate.demo import show as module
from tidegate.demo.scenarios.scenario import Outcome, Scenario
from tidegate.demo.show import show
from tidegate.demo.stack import StackError
from typer.testing import CliRunner

GOOD = Scenario("who is this?", "a good row", "200", lambda _: Outcome(True, "200"))
BAD = Scenario("who is this?", "a bad row", "401", lambda _: Outcome(False, "200"))


@pytest.fixture
def house(monkeypatch, tmp_path) -> Iterator[Path]:
    """No processes: the stage is empty. Gives the folder that the run's own folder is made in."""

    @contextmanager
    def open_house(store, directory, *, nice=False):
        (directory / "tidegate.log").write_text("said")
        yield type("House", (), {"stage": None, "base": "http://gate", "materials": None})()

    monkeypatch.setattr(module, "open_house", open_house)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield tmp_path
    for number, handler in before.items():
        signal.signal(number, handler)


def test_all_rows_right(house, capsys):
    assert show("memory", scenarios=[GOOD, GOOD]) == 0
    assert "all 2 as expected" in capsys.readouterr().out
    assert list(house.iterdir()) == []


def test_one_wrong_row_fails_the_run_and_keeps_the_logs(house, capsys):
    assert show("memory", scenarios=[GOOD, BAD, GOOD]) == 1
    told = capsys.readouterr().out
    assert "1 of 3 FAILED" in told
    (kept,) = house.iterdir()
    assert str(kept) in told.replace("\n", "")
    assert (kept / "tidegate.log").read_text() == "said"


def test_a_stack_that_does_not_start_fails_the_run(house, capsys, monkeypatch):
    @contextmanager
    def broken(store, directory, *, nice=False):
        raise StackError("envoy ended with status 1\n[critical] no")
        yield

    monkeypatch.setattr(module, "open_house", broken)
    assert show("memory", scenarios=[GOOD]) == 1
    assert "[critical] no" in capsys.readouterr().out
    assert len(list(house.iterdir())) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_in_good_order(house, number):
    """Also SIGINT in a background job, whose shell has it ignored; and a second one does not end the ending."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    killed = Scenario("g", "killed", "", lambda _: os.kill(os.getpid(), number))
    assert show("memory", scenarios=[killed, GOOD]) == 130
    os.kill(os.getpid(), number)
    assert list(house.iterdir()) == []


def test_keep_prints_lines_to_try_and_waits_for_ctrl_c(house, capsys, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "curl_lines", lambda base, materials: f"curl {base}/x")
    monkeypatch.setattr(signal, "pause", interrupted)
    assert show("memory", keep=True, scenarios=[GOOD]) == 0
    assert "curl http://gate/x" in capsys.readouterr().out


@pytest.mark.parametrize("status", [0, 1])
def test_the_command_exits_with_that_status(status, monkeypatch):
    import typer
    from tidegate.cli.demo import demo

    asked = []
    monkeypatch.setattr(module, "show", lambda store, *, keep: asked.append((store, keep)) or status)
    app = typer.Typer()
    app.command()(demo)
    assert CliRunner().invoke(app, ["--store", "redis", "--keep"]).exit_code == status
    assert asked == [("redis", True)]
    assert CliRunner().invoke(app, ["--store", "disk"]).exit_code == 2
