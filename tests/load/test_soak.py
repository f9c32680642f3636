"""The soak, short: the same checks as the long one. And each of them fails where what it looks at is wrong."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.load import soak as command
from tests.load.books import Account, Books, read_books
from tests.load.checks import FRAYED, SPENT, WHOLE, Charged, Evidence, Life, checks
from tests.load.kinds import KINDS, LET_IN
from tests.load.model import Counts
from tests.load.soak import Plan, figures, soak, tables
from tests.load.stack import PEPPER
from tests.load.tally import Leak, Tally
from tests.load.watch import MEBI, Sample

SHORT = Plan(
    seconds=5.0,
    streams=20,
    gap=0.05,
    others=2.0,
    ramp=1.0,
    warm_up=1.0,
    every=0.5,
    most_growth=64 * MEBI,  # a process that has just started still grows
    held=0.5,
    audit="max_size=16KiB",
)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("soak")


@pytest.fixture(scope="module")
def seen(kept: Path) -> Evidence:
    """Twenty streams for a few seconds."""
    return soak(kept, SHORT)


@pytest.mark.e2e
def test_after_mixed_traffic_everything_adds_up(seen: Evidence) -> None:
    assert [row for row in checks(seen) if not row.good] == []
    assert all(kind.right <= seen.tally.outcomes[name].keys() for name, kind in KINDS.items())


@pytest.mark.e2e
def test_it_adds_up_as_well_where_one_call_is_all_that_envoy_asks(tmp_path: Path) -> None:
    seen = soak(tmp_path, replace(SHORT, one_call=True))
    assert [row for row in checks(seen) if not row.good] == []
    assert "ext_authz.v3" not in (tmp_path / "envoy.yaml").read_text()


@pytest.mark.e2e
def test_the_report_has_a_row_for_each_kind_and_each_check(seen: Evidence) -> None:
    console = Console(width=200, file=io.StringIO())
    rows = checks(seen)
    for table in tables(seen, rows):
        console.print(table)
    report = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(kind in report for kind in KINDS)
    assert all(row.what in report for row in rows)
    assert "BROKEN" not in report
    assert json.loads(json.dumps(figures(seen)))["exchanges"] == seen.tally.total


@pytest.mark.e2e
def test_a_record_that_was_taken_out_of_the_log_is_missed(seen: Evidence, kept: Path, tmp_path: Path) -> None:
    log = tmp_path / "audit"
    shutil.copytree(kept / "audit", log)
    path, lines, place = next(
        (path, lines, place)
        for path in sorted(log.glob("*.jsonl"))
        for lines in [path.read_bytes().splitlines(keepends=True)]
        for place, line in enumerate(lines[:-1])
        if b'"kind":"response"' in line and b'"tenant":"acme"' in line
    )
    path.write_bytes(b"".join(lines[:place] + lines[place + 1 :]))
    broken = {row.what for row in checks(replace(seen, books=read_books(log, PEPPER))) if not row.good}
    assert {"exchanges", f"bytes of {WHOLE} that came", f"tokens of {WHOLE}", "chains of the audit log"} <= broken


# Evidence of a load that is right; each case below spoils one thing.
_AT = Sample(0.0, 120 * MEBI, 90 * MEBI, 30, 9, 12)
_LIFE = Life(_AT, tuple(_AT._replace(at=5.0 * place) for place in range(20)), _AT)
_WHOLE = ("chat", "large", "chat-stream", "messages-stream", "generate-stream")
_RIGHT = {name: dict.fromkeys(kind.right, 10) for name, kind in KINDS.items()}
_RIGHT["over"] = {"200": LET_IN, "429": 10}
_TALLY = Tally(_RIGHT, dict.fromkeys(KINDS, 1000), held=(500, 510))
_ASKED = {**dict.fromkeys((*_WHOLE, "leaver", "reset"), 10), "over": LET_IN}
_COUNTS = Counts(
    requests=_ASKED,
    answered=dict.fromkeys(_WHOLE, 10),
    served=dict.fromkeys(_ASKED, 2000),
    tokens=dict.fromkeys(_WHOLE, 100),
    planted=dict.fromkeys(_WHOLE, 30),
    open=0,
    credentials=0,
    strangers=0,
    unknown=0,
)
_REFUSED = sum(outcomes.get(status, 0) for outcomes in _RIGHT.values() for status in ("401", "403", "429"))
_BOOKS = Books(
    {
        WHOLE: Account(50, 0, 50, 9000, 1000, 5000, 500, 0, 150, frozenset({"number"})),
        FRAYED: Account(20, 0, 20, 3000, 500, 3000, 70, 0, 40, frozenset({"number"})),
        SPENT: Account(allowed=LET_IN, responses=LET_IN),
        "": Account(refused=_REFUSED, responses=_REFUSED),
    },
    files=9,
    writers=2,
)
GOOD = Evidence(
    streams=490,
    tally=_TALLY,
    counts=_COUNTS,
    charged={
        WHOLE: Charged({"requests": 50, "tokens": 500, "open": 0}, 0),
        FRAYED: Charged({"requests": 20, "tokens": 70, "open": 0}, 0),
        SPENT: Charged({"few": LET_IN}, 0),
    },
    books=_BOOKS,
    metrics={
        "streams": 0,
        "scanned": 12_000,
        "skipped": 1500,
        "responses": _TALLY.total,
        "errors": 0,
        "audit lost": 0,
        "envoy requests": 0,
        "envoy policy calls": 0,
        "settlement settled": 70,
        "settlement late": 0,
        "settlement unavailable": 0,
        "settlement failed": 0,
    },
    workers=[_LIFE, _LIFE],
    most_growth=8 * MEBI,
)


def outcomes(kind: str, **changed: int) -> Callable[[Evidence], Evidence]:
    """Another outcome of a kind, in place of as many right ones."""

    def spoil(good: Evidence) -> Evidence:
        counts = dict(good.tally.outcomes[kind])
        counts[next(iter(counts))] -= sum(changed.values())
        told = {**counts, **{name.lstrip("_").replace("_", " "): count for name, count in changed.items()}}
        return replace(good, tally=replace(good.tally, outcomes={**good.tally.outcomes, kind: told}))

    return spoil


def model(field: str, changed: Any) -> Callable[[Evidence], Evidence]:
    """Another figure of the model's: of a kind, or for all."""

    def spoil(good: Evidence) -> Evidence:
        value = {**getattr(good.counts, field), **changed} if isinstance(changed, dict) else changed
        return replace(good, counts=good.counts._replace(**{field: value}))

    return spoil


def redis(tenant: str, *, held: int = 0, **used: int) -> Callable[[Evidence], Evidence]:
    def spoil(good: Evidence) -> Evidence:
        charged = Charged({**good.charged[tenant].used, **used}, held)
        return replace(good, charged={**good.charged, tenant: charged})

    return spoil


def log(tenant: str, **changed: Any) -> Callable[[Evidence], Evidence]:
    def spoil(good: Evidence) -> Evidence:
        account = replace(good.books.accounts[tenant], **changed)
        return replace(good, books=replace(good.books, accounts={**good.books.accounts, tenant: account}))

    return spoil


def books(**changed: Any) -> Callable[[Evidence], Evidence]:
    return lambda good: replace(good, books=replace(good.books, **changed))


def metric(name: str, value: float) -> Callable[[Evidence], Evidence]:
    return lambda good: replace(good, metrics={**good.metrics, name: value})


def worker(life: Life) -> Callable[[Evidence], Evidence]:
    return lambda good: replace(good, workers=[good.workers[0], life])


def tally(**changed: Any) -> Callable[[Evidence], Evidence]:
    return lambda good: replace(good, tally=replace(good.tally, **changed))


_LEAKING = tuple(one._replace(resident=one.resident + place * MEBI // 2) for place, one in enumerate(_LIFE.samples))
REFUSE = "callers who were let in and had to be refused"
LEAK = "planted values that got out"
WRONG = "answers that were not right"
LOST = "requests of frayed"
SPOILT: list[tuple[str, Callable[[Evidence], Evidence], set[str]]] = [
    ("a lost charge", redis(WHOLE, requests=49), {"requests of acme"}),
    ("a charge too many", redis(FRAYED, requests=21), {"requests of frayed"}),
    ("tokens that were not settled", redis(WHOLE, tokens=499), {"tokens of acme"}),
    ("tokens that the log does not know", redis(FRAYED, tokens=71), {"tokens of frayed"}),
    ("a limit that let more in", redis(SPENT, few=LET_IN + 1), {"requests of spent", "a limit that was used up"}),
    ("a request without a record", log(WHOLE, allowed=49), {"requests of acme", "settlements"}),
    ("a request that the model did not get", model("requests", {"chat": 9}), {"requests of acme"}),
    ("bytes that were not read", log(WHOLE, scanned=8999), {"bytes of acme that came", "bytes scanned, all callers"}),
    ("bytes that nobody sent", log(FRAYED, skipped=4000), {"bytes of frayed that came", "bytes skipped, all callers"}),
    ("text that was skipped", log(WHOLE, left=frozenset({"number", "too_long"})), {"reasons why text was not read"}),
    ("a value that was not found", log(WHOLE, findings=149), {"values planted for acme"}),
    ("bytes that left unrecorded", log(WHOLE, sent=4999), {"bytes of acme that left"}),
    ("a client that got more than was sent", log(FRAYED, sent=1999), {"bytes of frayed that left"}),
    ("a metric that counts otherwise", metric("scanned", 11_999), {"bytes scanned, all callers"}),
    ("an exchange without a metric", metric("responses", _TALLY.total - 1), {"exchanges"}),
    ("a leak", tally(leaks=(Leak("chat", 7, "text"),)), {LEAK}),
    ("a body that was changed", outcomes("chat", _200_wrong_body=1), {WRONG}),
    ("a stream that ended early", outcomes("chat-stream", truncated=1), {WRONG}),
    ("a request that failed", outcomes("chat", _503=1), {WRONG, "requests of acme"}),
    ("a wrong allow", outcomes("wrong-key", _200=1), {WRONG, REFUSE, "refusals"}),
    ("a refused caller at the model", model("requests", {"no-role": 1}), {REFUSE}),
    ("a credential at the model", model("credentials", 1), {"what the model must not be told"}),
    ("another tenant at the model", model("strangers", 1), {"what the model must not be told"}),
    ("a kind that never came", tally(outcomes=_RIGHT | {"reset": {}}), {"kinds of exchange", LOST, "exchanges"}),
    ("too few streams", tally(held=(489, 510)), {"streams held all the time"}),
    ("a settlement that came late", metric("settlement late", 1), {"settlements that failed or came late"}),
    ("a reservation that was never settled", metric("settlement settled", 69), {"settlements"}),
    ("a stream that is still open", metric("streams", 1), {"what is still open"}),
    ("a request that Envoy still has", metric("envoy requests", 1), {"what is still open"}),
    ("a place that is still taken", redis(WHOLE, open=1), {"what is still open"}),
    ("a reservation that is still held", redis(FRAYED, held=1), {"what is still open"}),
    ("an answer that the model still writes", model("open", 1), {"what is still open"}),
    ("an exception", metric("errors", 1), {"unexpected exceptions"}),
    ("a chain that does not hold", books(broken="file:7: record 8 is missing"), {"chains of the audit log"}),
    ("a chain that was not closed", books(closed=False), {"chains of the audit log"}),
    ("a log that was not rotated", books(files=2), {"files of the audit log"}),
    ("a lost record", books(lost=1), {"audit records that were lost"}),
    ("a record that the metrics miss", metric("audit lost", 1), {"audit records that were lost"}),
    ("a leaked descriptor", worker(_LIFE._replace(after=_AT._replace(descriptors=39))), {"descriptors of worker 1"}),
    ("a leaked task", worker(_LIFE._replace(after=_AT._replace(tasks=15))), {"tasks of worker 1"}),
    ("tasks that nobody counts", worker(_LIFE._replace(after=_AT._replace(tasks=0))), {"tasks of worker 1"}),
    ("memory that rises", worker(_LIFE._replace(samples=_LEAKING)), {"memory of worker 1"}),
    ("memory that nobody looked at", worker(_LIFE._replace(samples=())), {"memory of worker 1"}),
]  # fmt: skip


def test_evidence_that_is_right_breaks_nothing() -> None:
    assert [row for row in checks(GOOD) if not row.good] == []


@pytest.mark.parametrize(("spoil", "names"), [case[1:] for case in SPOILT], ids=[case[0] for case in SPOILT])
def test_what_is_wrong_is_named(spoil: Callable[[Evidence], Evidence], names: set[str]) -> None:
    assert {row.what for row in checks(spoil(GOOD)) if not row.good} == names


def test_every_check_can_fail() -> None:
    spoilt = {name for case in SPOILT for name in case[2]}
    other_worker = {row.what.replace("worker 0", "worker 1") for row in checks(GOOD)}
    assert other_worker == spoilt


@pytest.mark.parametrize(("evidence", "status"), [(GOOD, 0), (redis(WHOLE, requests=49)(GOOD), 1)])
def test_the_command_fails_where_something_is_broken(
    evidence: Evidence, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plans = []

    def done(_directory: Path, plan: Plan, _say: Callable[[str], None]) -> Evidence:
        plans.append(plan)
        return evidence

    monkeypatch.setattr(command, "soak", done)
    monkeypatch.setattr("sys.argv", ["soak", "--minutes", "2", "--streams", "50", "--one-call"])
    assert command.main() == status
    assert plans == [Plan(120.0, 50, 1.0, 1.0, ramp=12.0, warm_up=40.0, one_call=True)]
    printed = capsys.readouterr().out
    assert ("BROKEN" in printed) is bool(status)
    assert json.loads(printed.splitlines()[-1])["exchanges"] == _TALLY.total
