"""What a decision means for a request, before either filter is told: what is set, what goes, what is shown."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.clock import SystemClock
from tidegate.context_token import ContextTokens
from tidegate.envoy.attributes import Asked, Peer, asked
from tidegate.envoy.decisions import Decisions
from tidegate.envoy.verdicts import Admitted, Refused
from tidegate.model import Decision, Deny, Reason

from tests.phases import ADA, POLICY, REQUEST, Counts, pipeline


class Tokens(ContextTokens):
    def __init__(self, token: str) -> None:
        super().__init__(clock=SystemClock())
        self._token = token

    def token_for(self, *_: Any) -> str:
        return self._token


def decisions(told: list[Decision] | None = None, *, token: str = "", **phases: Any) -> Decisions:
    told = [] if told is None else told
    return Decisions(
        pipeline=pipeline(**phases),
        policy=lambda: POLICY,
        credential_headers=lambda _: ("authorization",),
        clock=SystemClock(),
        record=lambda decision, _: told.append(decision),
        context_tokens=Tokens(token),
    )


async def decide(subject: Decisions, **headers: str) -> Admitted | Refused:
    request = dataclasses.replace(REQUEST, headers={name.replace(".", "-"): value for name, value in headers.items()})
    return await subject.decide(lambda _: Asked("r1", "/v1/chat", request), dict)


async def test_an_allow_removes_ranges_and_every_identity_header_that_it_does_not_set() -> None:
    spoofed = {"x-tidegate-admin": "1", "x_tidegate_subject": "root", "x-tidegate-subject": "root", "accept": "*/*"}
    admitted = await decide(decisions(), **spoofed, **{"range": "bytes=0-9", "if-range": "x"})
    assert isinstance(admitted, Admitted)
    assert set(admitted.unwanted) == {"range", "if-range", "x-tidegate-admin", "x_tidegate_subject"}
    assert admitted.credentials == ("authorization",)
    assert admitted.caller == ("ada", "acme", "free", "chat")


async def test_a_context_token_takes_the_place_of_what_the_client_sent_and_without_one_nothing_does() -> None:
    spoofed = {"x-tidegate-identity": "forged", "x_tidegate_identity": "forged"}
    ours = await decide(decisions(token="ours"), **spoofed)
    assert isinstance(ours, Admitted)
    assert ours.told == (("x-tidegate-identity", "ours"),)
    assert ours.unwanted == ("x_tidegate_identity",)  # Envoy removes after it sets
    without = await decide(decisions(), **spoofed)
    assert isinstance(without, Admitted)
    assert without.told == ()
    assert set(without.unwanted) == set(spoofed)


async def test_a_refusal_shows_the_limits_that_were_asked() -> None:
    told: list[Decision] = []
    refused = await decide(decisions(told, ledger=Counts(refuse="rpm")))
    assert isinstance(refused, Refused)
    assert (refused.deny.status, refused.request_id, refused.dialect) == (429, "r1", "openai")
    assert dict(refused.shown)["x-ratelimit-remaining-requests"] == "0"
    assert [decision.verdict for decision in told] == [refused.deny]


async def test_what_is_no_request_is_refused_on_record_under_its_id_without_being_decided() -> None:
    told: list[Decision] = []
    ledger = Counts()
    malformed = Deny(400, Reason.REQUEST_MALFORMED, "No.")
    for given_id in ("r9", ""):
        refused = await decisions(told, ledger=ledger).decide(lambda _, at=given_id: Asked(at, "/x", malformed), dict)
        assert isinstance(refused, Refused)
        assert (refused.deny, refused.dialect) == (malformed, "problem")
        assert refused.request_id == (given_id or told[-1].request.id) != ""
    assert ledger.seen == []


async def test_nobody_is_asked_for_the_metadata_of_a_call_that_is_not_traced() -> None:
    def metadata() -> dict[str, str]:
        raise AssertionError

    assert isinstance(await decisions().decide(lambda _: Asked("r1", "/v1/chat", REQUEST), metadata), Admitted)


@given(st.text(), st.text(), st.lists(st.tuples(st.text(), st.text())))
def test_whatever_envoy_says_becomes_a_request_or_a_refusal(method: str, target: str, fields: Any) -> None:
    read = asked(
        fields,
        method=method,
        target=target,
        authority="models.example.com",
        scheme="https",
        stream_id="7",
        peer=Peer("192.0.2.1"),
        body=b"",
        trusted_hops=1,
    )
    assert read.target == target
    assert read.id == "7" or ("x-request-id", read.id) in fields


@pytest.mark.parametrize("who", [ADA, Deny(401, Reason.CREDENTIAL_INVALID, "No."), RuntimeError("boom")])
async def test_each_decision_is_on_record_once(who: Any) -> None:
    told: list[Decision] = []
    await decide(decisions(told, who=who, errors=[]))
    assert len(told) == 1
