"""Chaos, short: cheap faults, and the same checks as of all. And each check fails where what it looks at is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.load.books import Account, Books
from tests.load.chaos import HEAD, figures_of, row, run
from tests.load.checks import FRAYED, SPENT, WHOLE, Charged, Check
from tests.load.faults import FAULTS, Fault
from tests.load.kinds import KINDS, LET_IN
from tests.load.model import Counts
from tests.load.scene import Scene, none
from tests.load.stack import POLICY
from tests.load.tally import Leak, Tally
from tests.load.verdict import Evidence, judge, passed, shares

PACE = 0.3
BUSY = frozenset({"503"})
"""On a busy machine a decision may come too late, which is no fault of the fault's."""


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("name", "one_call"),
    [("worker-killed", True), ("redis-frozen", False)],
    ids=["worker-killed, one call", "redis-frozen, two calls"],
)
def test_a_fault_under_traffic_leaks_nothing_lets_nobody_pass_and_loses_no_charge(
    name: str, one_call: bool, tmp_path: Path
) -> None:
    fault = replace(FAULTS[name], may=FAULTS[name].may | BUSY, most=1.0, recovers=30.0)
    seen = run(fault, tmp_path, pace=PACE, one_call=one_call)
    assert ("ext_authz.v3" not in (tmp_path / "envoy.yaml").read_text()) is one_call
    assert [check for check in judge(fault, seen) if not check.good] == []
    assert sum(seen.counts.requests.values()) > 50


@pytest.mark.e2e
def test_a_service_that_does_none_of_its_work_is_found_out(tmp_path: Path) -> None:
    """It looks at answers and changes none, counts where nobody else sees it, and lets in who is over the limit."""
    policy = POLICY.replace(f"limit: {LET_IN},", "limit: 1000,")
    assert policy != POLICY
    settings = {"policy": policy, "flags": {"store": "memory://"}, "env": {"TIDEGATE_SHADOW": "1"}}
    seen = run(Fault(_nothing, settings=lambda _: settings), tmp_path, pace=PACE)
    found = {check.what for check in judge(QUIET, seen) if not check.good}
    assert {
        "outcomes",
        "planted values that got out",
        "let in, and had to be refused",
        "the same, as the model saw it",
        *(f"requests of {tenant} in the ledger" for tenant in (WHOLE, FRAYED, SPENT)),
        f"tokens of {WHOLE} in the ledger",
        *(f"requests of {tenant} on record" for tenant in (WHOLE, FRAYED, SPENT)),
    } <= found


async def _nothing(scene: Scene) -> Sequence[Check]:
    """Nothing happens."""
    await scene.passes(3)
    return ()


QUIET = Fault(FAULTS["slow-model"].strike)
KILLED = FAULTS["worker-killed"]
OUT = FAULTS["redis-frozen"]


def tally(**changes: Mapping[str, int]) -> Tally:
    """Ten right answers for each kind that gets one, and refusals for the others."""
    outcomes: dict[str, Mapping[str, int]] = {
        name: {min(kind.right): LET_IN if kind.let_in else 10} for name, kind in KINDS.items() if name != "large"
    }
    return Tally(outcomes | {name.replace("_", "-"): counts for name, counts in changes.items()})


ASKED = {name: 10 for name, kind in KINDS.items() if kind.let_in is None and name != "large"} | {"over": LET_IN}
TOKENS = dict.fromkeys(("chat", "chat-stream", "messages-stream", "generate-stream"), 1000)


def counts(**changes: Any) -> Counts:
    fields: dict[str, Any] = dict.fromkeys(Counts._fields, 0)
    empty: Mapping[str, int] = {}
    given = {"requests": ASKED, "answered": empty, "served": empty, "tokens": TOKENS, "planted": {"chat": 3}}
    return Counts(**(fields | given | changes))


def charged(tenant: str = "", held: int = 0, **used: int) -> dict[str, Charged]:
    """The ledger as it must be, but for what one tenant is said to have used, and to hold."""
    right = {
        WHOLE: {"requests": 40, "tokens": 4000, "open": 0},
        FRAYED: {"requests": 20, "open": 0},
        SPENT: {"few": LET_IN},
    }
    if tenant:
        right[tenant] = right[tenant] | used
    return {name: Charged(limits, held if name == tenant else 0) for name, limits in right.items()}


def books(tenant: str = "", **changes: Any) -> Books:
    """The audit log as it must be, but for how many requests of one tenant are on record, and what else is said."""
    allowed = {WHOLE: 40, FRAYED: 20, SPENT: LET_IN} | ({tenant: changes.pop("allowed")} if tenant else {})
    accounts = {name: Account(allowed=count) for name, count in allowed.items()}
    return replace(Books(accounts, files=2, writers=2), **changes)


RIGHT = Evidence(
    tally=tally(),
    calm=Tally(),
    struck=Tally(),
    recovered=0.0,
    callers=20,
    counts=counts(),
    charged=charged(),
    looked_at=(),
    books=books(),
    errors=0,
    logged=0,
)


def bad(fault: Fault, seen: Evidence) -> list[str]:
    return [check.what for check in judge(fault, seen) if not check.good]


def test_what_is_as_it_must_be_is_good() -> None:
    assert bad(QUIET, RIGHT) == bad(KILLED, RIGHT) == bad(OUT, RIGHT) == []


LEAK = Leak("chat", 1, "text")
HARMS: list[tuple[str, Evidence]] = [
    ("outcomes before the strike", replace(RIGHT, calm=Tally({"chat": {"503": 1}}))),
    ("outcomes", replace(RIGHT, tally=tally(chat={"200": 9, "502": 1}))),
    ("outcomes", replace(RIGHT, tally=tally(chat={"200": 9, "200 wrong body": 1}))),
    ("outcomes", replace(RIGHT, tally=tally(chat_stream={"200": 9, "truncated wrong body": 1}))),
    ("exchanges that failed", replace(RIGHT, tally=tally(chat={"200": 5, "503": 90}))),
    ("the last of them", replace(RIGHT, recovered=99.0)),
    ("kinds without an answer after the strike", replace(RIGHT, struck=tally())),
    ("planted values that got out", replace(RIGHT, tally=replace(tally(), leaks=(LEAK,)))),
    ("let in, and had to be refused", replace(RIGHT, tally=tally(wrong_key={"401": 9, "200": 1}))),
    ("let in, and had to be refused", replace(RIGHT, tally=tally(over={"429": 9, "200": LET_IN + shares() + 1}))),
    ("the same, as the model saw it", replace(RIGHT, counts=counts(requests=ASKED | {"no-role": 1}))),
    ("requests with a credential, or under another's name, at the model", replace(RIGHT, counts=counts(credentials=1))),
    ("requests with a credential, or under another's name, at the model", replace(RIGHT, counts=counts(strangers=1))),
    ("unexpected exceptions", replace(RIGHT, errors=1)),
    ("the audit log", replace(RIGHT, books=books(broken="a record was changed"))),
    ("audit records that were lost", replace(RIGHT, books=books(lost=1))),
    ("exchanges that had to be refused", replace(RIGHT, tally=Tally({"chat": {"200": 10}}))),
    ("values that the model planted", replace(RIGHT, counts=counts(planted={}))),
    ("planted values and keys in a log", replace(RIGHT, logged=1)),
    (f"requests of {WHOLE} in the ledger", replace(RIGHT, charged=charged(WHOLE, requests=39))),
    (f"requests of {WHOLE} in the ledger", replace(RIGHT, charged=charged(WHOLE, requests=61))),
    (f"requests of {FRAYED} in the ledger", replace(RIGHT, charged=charged(FRAYED, requests=19))),
    (f"requests of {SPENT} in the ledger", replace(RIGHT, charged=charged(SPENT, few=LET_IN - 1))),
    (f"places of {WHOLE} still taken", replace(RIGHT, charged=charged(WHOLE, open=21))),
    (f"reservations of {WHOLE} still held", replace(RIGHT, charged=charged(WHOLE, held=21))),
    (f"requests of {WHOLE} on record", replace(RIGHT, books=books(WHOLE, allowed=19))),
    ("what the strike saw", replace(RIGHT, looked_at=(none("what the strike saw", 1),))),
]


@pytest.mark.parametrize("fault", [QUIET, KILLED, OUT], ids=["quiet", "killed", "out"])
@pytest.mark.parametrize(("what", "seen"), HARMS)
def test_every_harm_is_found(what: str, seen: Evidence, fault: Fault) -> None:
    assert what in bad(fault, seen)


def test_what_a_fault_excuses_is_excused_for_it_alone() -> None:
    failed = replace(RIGHT, tally=tally(chat={"200": 90, "503": 3}), recovered=1.0, charged=charged(WHOLE, tokens=3500))
    assert bad(KILLED, failed) == []
    assert set(bad(QUIET, failed)) == {
        "outcomes",
        "exchanges that failed",
        "the last of them",
        f"tokens of {WHOLE} in the ledger",
    }
    more = replace(
        RIGHT,
        tally=tally(over={"429": 9, "200": LET_IN + shares()}),
        counts=counts(requests=ASKED | {"over": LET_IN + shares()}),
        charged=charged(SPENT, few=LET_IN + shares()),
        books=books(SPENT, allowed=LET_IN + shares()),
    )
    assert bad(OUT, more) == []
    assert passed(OUT, more) == {}
    assert passed(KILLED, more) == {"over": shares()}
    for exact in (
        {"charged": charged(WHOLE, requests=41)},
        {"charged": charged(WHOLE, open=1)},
        {"charged": charged(WHOLE, held=1)},
        {"charged": charged(WHOLE, tokens=4001)},
        {"books": books(WHOLE, allowed=39)},
    ):
        assert len(bad(QUIET, replace(RIGHT, **exact))) == 1
        assert bad(KILLED, replace(RIGHT, **exact)) == []
    unpaid = replace(RIGHT, books=books(WHOLE, allowed=41))
    assert bad(QUIET, unpaid) == bad(KILLED, unpaid) == [f"requests of {WHOLE} on record"]
    assert bad(OUT, unpaid) == []
    dropped = replace(RIGHT, books=books(WHOLE, allowed=30, lost=10))
    assert bad(FAULTS["disk-full"], dropped) == []
    assert len(bad(FAULTS["disk-full-required"], dropped)) == 2
    short = replace(RIGHT, charged=charged(WHOLE, tokens=3999))
    assert bad(QUIET, short) == bad(KILLED, short) == bad(OUT, short) == [f"tokens of {WHOLE} in the ledger"]


def test_a_line_tells_what_clients_saw_and_what_is_bad() -> None:
    seen = replace(RIGHT, tally=tally(chat={"200": 9, "503": 1}), recovered=1.25)
    line, *more = row("worker-killed", KILLED, seen, [none("planted values that got out", 2)]).splitlines()
    assert "503 1" in line
    assert "1.2 s" in line
    assert more == ["  NOT as it must be: planted values that got out: 2; expected: none"]
    assert row("quiet", QUIET, seen, [Check("all", "well", "well", True)]).count("\n") == 0
    assert len(HEAD.split()) > 6
    assert figures_of(KILLED, seen)["wrong"] == {"503": 1}


def test_every_fault_says_what_it_is_and_none_is_missing() -> None:
    assert all(fault.about.endswith(".") for fault in FAULTS.values())
    assert {
        "worker-killed",
        "rolling-restart",
        "redis-frozen",
        "redis-restarted",
        "policy-reloaded",
        "certificates",
        "slow-clients",
        "slow-model",
        "model-reset",
        "envoy-restarted",
        "disk-full",
        "clock-moved",
    } <= set(FAULTS)
