"""When a prompt is read: after the cheap checks and the limits; and what its refusal costs."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from tidegate.errors import DetectorUnavailable
from tidegate.inbound import inspector
from tidegate.model import Allow, Deny, Reason
from tidegate.pipeline import Pipeline
from tidegate.policy import parse_policy

from tests.inbound.world import MAIL, POLICY, World, asked, says
from tests.phases import ADA, Counts, Knows


async def test_a_refused_prompt_counts_as_a_request_and_costs_no_tokens() -> None:
    world = World()
    before = await world.left()
    decision = await world.decide(says(MAIL))
    assert decision.charged
    assert [charge.limit.name for charge in decision.charges] == ["rpm"]
    assert decision.admission is not None
    assert [state.limit.name for state in decision.admission.states] == ["rpm"]
    assert decision.admission.reservation == ""
    after = await world.left()
    assert after["rpm"] == before["rpm"] - 2  # the refused one, and the look afterwards
    once = 100_000 - before["tpm"]
    assert after["tpm"] == 100_000 - 2 * once
    assert isinstance((await world.decide(says(MAIL))).verdict, Deny)


_COUNTED = yaml.safe_load(POLICY)
_COUNTED["tiers"]["free"]["limits"].pop()
COUNTED = yaml.safe_dump(_COUNTED)


async def test_a_prompt_that_nobody_could_read_costs_nothing_also_where_only_requests_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing was held there that could have been given back: who tried again while a detector was out used it up."""

    def out(*_: object) -> None:
        raise DetectorUnavailable("out")

    world = World(COUNTED)
    with monkeypatch.context() as patched:
        patched.setattr(inspector, "inspect", out)
        for _ in range(5):
            decision = await world.decide(says("hello"))
            assert isinstance(decision.verdict, Deny)
            assert (decision.verdict.reason, decision.charged) == (Reason.PROMPT_UNCHECKED, False)
    assert await world.left() == {"rpm": 2}  # of 3, after the look itself


async def test_a_refused_prompt_counts_as_a_request_where_only_requests_are_counted() -> None:
    world = World(COUNTED)
    assert (await world.decide(says(MAIL))).charged
    assert await world.left() == {"rpm": 1}


async def test_a_prompt_that_passes_leaves_nothing_to_settle_where_only_requests_are_counted() -> None:
    world = World(COUNTED)
    decision = await world.decide(says("hello"))
    assert isinstance(decision.verdict, Allow)
    assert decision.verdict.admission.reservation == ""
    assert await world.left() == {"rpm": 1}


async def test_who_is_over_a_limit_has_nothing_read() -> None:
    world = World()
    for _ in range(3):
        assert (await world.refused(says(MAIL))).status == 403
    decision = await world.decide(says(MAIL))
    assert isinstance(decision.verdict, Deny)
    assert decision.verdict.status == 429
    assert decision.inspection is None


@pytest.mark.parametrize(
    ("document", "headers", "status", "reason"),
    [
        (b'{"messages": [], "messages": []}', {}, 400, Reason.REQUEST_MALFORMED),
        ({"prompt": "x"}, {}, 400, Reason.REQUEST_STRUCTURE),
        (says("x" * 300_000), {}, 413, Reason.REQUEST_MALFORMED),
        (b"--x", {"content-type": "multipart/form-data; boundary=x"}, 415, Reason.REQUEST_MALFORMED),
        (b"\x1f\x8b", {"content-encoding": "gzip"}, 415, Reason.REQUEST_MALFORMED),
    ],
)
async def test_the_cheap_checks_cost_nothing(
    document: Any, headers: dict[str, str], status: int, reason: Reason
) -> None:
    ledger = Counts()
    pipeline = Pipeline(policy=lambda: parse_policy(POLICY), identifier=Knows(ADA), ledger=ledger)
    decision = await pipeline.decide(
        asked(document, **{name.replace("_", "-"): value for name, value in headers.items()})
    )
    assert isinstance(decision.verdict, Deny)
    assert (decision.verdict.status, decision.verdict.reason, decision.verdict.rule) == (status, reason, "request")
    assert ledger.seen == []
    assert (decision.endpoint, decision.identity, decision.dialect) == ("chat", ADA, "openai")


async def test_the_body_is_read_for_nobody_who_may_not_use_the_endpoint() -> None:
    nobody = ADA._replace(roles=frozenset())
    assert (await World(who=nobody).refused(b"{")).reason is Reason.ACCESS_DENIED
