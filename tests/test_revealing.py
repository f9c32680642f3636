"""Nothing is told but to who may, within their rate, and with a record that is kept before the answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tidegate.admission.memory import MemoryLedger
from tidegate.audit.reading import lines_of, records_of
from tidegate.audit.verify import verify
from tidegate.errors import StoreUnavailable
from tidegate.filtering.sealed import Opened
from tidegate.model import Admission, Deny, Identity, Reason, Request
from tidegate.policy import parse_policy
from tidegate.policy.compiled import Policy
from tidegate.revealing import Asked, Revealer
from tidegate.seal_keys import SealKeys

from tests.audit.world import Fickle, FilePlace, FileSink, Time, Told, a_log

SECRETS = (b"new-secret-of-thirty-two-bytes-or-more", b"old-secret-of-thirty-two-bytes-or-more")
VALUE = "bob@example.com"
WHY = "case 17: the customer asked for a correction"
POLICY = parse_policy("""
version: 1
tiers: {free: {}}
tenants:
  acme:
    reveal: {roles: [privacy], scopes: [pseudonyms.reveal], entities: [EMAIL, MODEL_SECRETS], rate: 3/60s}
  globex:
    reveal: {roles: [privacy]}
  closed: {}
""")
MAY = Identity(
    "ida", "acme", "free", "bearer", frozenset({"privacy"}), frozenset({"pseudonyms.reveal", "other"}), credential="k7"
)
REQUEST = Request("r1", "POST", "tidegate", "/tidegate.v1.PolicyService/Reveal")
SEALS = SealKeys(SECRETS)


def pseudonym(value: str = VALUE, *, entity: str = "EMAIL", tenant: str = "acme", secrets: Any = SECRETS) -> str:
    seal = SealKeys(secrets).of(tenant)
    assert seal is not None
    made = seal.close(entity, value, b"context.")
    assert made is not None
    return made


class Desk:
    """A revealer, who calls it, and what it put on record."""

    def __init__(self, identity: Identity | Deny | Exception = MAY, *, keeps: bool = True, **parts: Any) -> None:
        self.identity, self.keeps = identity, keeps
        self.kept: list[Asked] = []
        self.told: list[str] = []
        self.errors: list[Exception] = []
        given: dict[str, Any] = {
            "policy": lambda: POLICY, "identifier": self, "ledger": MemoryLedger(Time()), "seals": SEALS,
            "keep": self.keep, "told": self.told.append, "on_error": self.errors.append,
        }  # fmt: skip
        self.revealer = Revealer(**(given | parts))

    async def identify(self, policy: Policy, request: Request) -> Identity | Deny:
        if isinstance(self.identity, Exception):
            raise self.identity
        return self.identity

    async def keep(self, asked: Asked) -> bool:
        self.kept.append(asked)
        return self.keeps

    async def ask(self, what: str = "", request: Request | Deny = REQUEST) -> Opened | Deny:
        return await self.revealer.reveal(request, what or pseudonym(), WHY, "r1")


def refused(answer: Opened | Deny) -> tuple[int, Reason]:
    assert isinstance(answer, Deny)
    return answer.status, answer.reason


async def test_who_may_is_told_and_the_record_says_everything_but_the_value() -> None:
    desk = Desk()
    assert await desk.ask() == Opened("EMAIL", VALUE)
    assert desk.kept == [Asked("r1", MAY, pseudonym(), "EMAIL", WHY, None, POLICY.version)]
    assert desk.told == ["revealed"]


@pytest.mark.parametrize(
    ("identity", "reason"),
    [
        (MAY._replace(roles=frozenset({"analyst"})), Reason.ACCESS_DENIED),
        (MAY._replace(roles=frozenset()), Reason.ACCESS_DENIED),
        (MAY._replace(scopes=frozenset({"other"})), Reason.SCOPE_INSUFFICIENT),
        (MAY._replace(tenant="closed"), Reason.ACCESS_DENIED),
        (MAY._replace(tenant="nobody"), Reason.ACCESS_DENIED),
        (MAY._replace(method="anonymous"), Reason.ACCESS_DENIED),
        (MAY._replace(endpoints=frozenset({"chat"})), Reason.ACCESS_DENIED),
    ],
    ids=[
        "other role",
        "no role",
        "no scope",
        "tenant that lets nobody",
        "no tenant",
        "anonymous",
        "key of an endpoint",
    ],
)
async def test_who_may_not_is_refused_whatever_they_ask_for(identity: Identity, reason: Reason) -> None:
    desk = Desk(identity)
    true, forged = await desk.ask(), await desk.ask("[EMAIL_" + "a" * 64 + "]")
    assert refused(true) == refused(forged) == (403, reason)
    assert [asked.identity for asked in desk.kept] == [identity, identity]


async def test_by_default_nobody_may() -> None:
    policy = parse_policy(
        "version: 1\ntiers: {free: {}}\ntenants: {acme: {grants: [{role: privacy, endpoints: '*'}]}}\n"
    )
    assert refused(await Desk(policy=lambda: policy).ask()) == (403, Reason.ACCESS_DENIED)


async def test_who_is_not_known_is_refused_as_anywhere_and_put_on_record() -> None:
    unknown = Deny(401, Reason.CREDENTIAL_INVALID, "No.")
    desk = Desk(unknown)
    assert await desk.ask() == unknown
    assert await desk.ask(request=Deny(400, Reason.REQUEST_MALFORMED, "Two credentials.")) != unknown
    assert [(asked.identity, asked.verdict and asked.verdict.status) for asked in desk.kept] == [
        (None, 401),
        (None, 400),
    ]


@pytest.mark.parametrize(
    "what",
    [
        "[EMAIL_7f3a9c021b44]",
        "[EMAIL]",
        "bob@example.com",
        pseudonym()[:-2] + "x]",
        pseudonym().replace("EMAIL", "OPENAI_KEY"),
        pseudonym(tenant="globex"),
        pseudonym(secrets=(b"a-secret-that-was-taken-out-of-the-file",)),
        "[EMAIL_" + "a" * 64 + "]",
    ],
    ids=["digest", "constant", "no pseudonym", "changed", "renamed", "another tenant's", "key is gone", "made up"],
)
async def test_whatever_is_wrong_with_a_pseudonym_has_one_answer(what: str) -> None:
    desk = Desk()
    answer = await desk.ask(what)
    assert refused(answer) == (404, Reason.PSEUDONYM_UNKNOWN)
    assert answer == await Desk().ask("nothing like it")
    assert len(desk.kept) == 1


async def test_a_key_that_is_old_opens_until_it_is_taken_away() -> None:
    old = pseudonym(secrets=SECRETS[1:])
    assert await Desk().ask(old) == Opened("EMAIL", VALUE)
    assert refused(await Desk(seals=SealKeys(SECRETS[:1])).ask(old)) == (404, Reason.PSEUDONYM_UNKNOWN)
    assert refused(await Desk(seals=SealKeys()).ask(old)) == (404, Reason.PSEUDONYM_UNKNOWN)


async def test_kinds_of_value_that_are_not_named_are_refused_and_nobody_learns_whether_they_are_true() -> None:
    true, made_up = pseudonym("536-22-8734", entity="US_SSN"), "[US_SSN_" + "a" * 64 + "]"
    desk = Desk()
    assert refused(await desk.ask(true)) == refused(await desk.ask(made_up)) == (403, Reason.ACCESS_DENIED)
    whole = pseudonym("536-22-8734", entity="US_SSN", tenant="globex")
    assert await Desk(MAY._replace(tenant="globex")).ask(whole) == Opened("US_SSN", "536-22-8734")


async def test_a_guess_costs_what_a_question_costs() -> None:
    desk = Desk()
    for _ in range(3):
        assert refused(await desk.ask("[EMAIL_" + "a" * 64 + "]"))[0] == 404
    assert refused(await desk.ask()) == (429, Reason.LIMIT_EXCEEDED)
    desk.identity = MAY._replace(subject="ann")
    assert await desk.ask() == Opened("EMAIL", VALUE)
    assert [asked.verdict is None for asked in desk.kept] == [False] * 4 + [True]


class Broken:
    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def reserve(self, charges: Any, *, hold: float | None = None) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def settle(self, reservation: str, costs: Any) -> bool:
        raise AssertionError


@pytest.mark.parametrize("answer", [StoreUnavailable("down"), Admission((), enforcement="none")])
async def test_where_nobody_counts_nothing_is_told(answer: Any) -> None:
    assert refused(await Desk(ledger=Broken(answer)).ask()) == (503, Reason.STORE_UNAVAILABLE)


async def test_where_nothing_is_kept_nothing_is_told() -> None:
    assert refused(await Desk(keeps=False).ask()) == (503, Reason.AUDIT_UNAVAILABLE)
    assert refused(await Desk(keep=None).ask()) == (503, Reason.AUDIT_UNAVAILABLE)


async def test_whatever_breaks_nothing_is_told() -> None:
    for desk in (Desk(RuntimeError("boom")), Desk(ledger=Broken(RuntimeError("boom")))):
        answer = await desk.ask()
        assert refused(answer) == (500, Reason.INTERNAL)
        assert [str(error) for error in desk.errors] == ["boom"]


async def test_the_record_is_in_the_chain_before_the_answer_and_has_no_value(tmp_path: Path) -> None:
    sink = FileSink(FilePlace(tmp_path), "w", clock=Time())
    log = a_log(sink, key=b"chain")
    await log.start()
    desk = Desk(keep=log.keep)
    assert await desk.ask() == Opened("EMAIL", VALUE)
    found = [record for record in records_of(str(tmp_path)) if record and record["kind"] == "reveal"]
    assert refused(await desk.ask("[EMAIL_" + "a" * 64 + "]"))[0] == 404
    await log.close()
    assert [(one["subject"], one["tenant"], one["entity"], one["why"], one["verdict"]) for one in found] == [
        ("ida", "acme", "EMAIL", WHY, "allow")
    ]
    assert verify(lines_of(str(tmp_path)), key=b"chain").broken is None
    written = "".join(path.read_text() for path in tmp_path.glob("*.jsonl"))
    assert '"status":404' in written
    for secret in (VALUE, "bob", pseudonym()):
        assert secret not in written
    again = [record for record in records_of(str(tmp_path)) if record and record["kind"] == "reveal"]
    assert again[0]["pseudonym"] != again[1]["pseudonym"]
    assert json.dumps(again).count("~") == 2


async def test_a_call_whose_record_cannot_be_made_is_told_nothing() -> None:
    """The log goes on, and says that something is missing."""
    sink, told = Fickle(), Told()
    log = a_log(sink, told=told)
    await log.start()
    unheard = Desk(MAY._replace(client_id=object()), keep=log.keep)  # type: ignore[arg-type]
    assert refused(await unheard.ask()) == (503, Reason.AUDIT_UNAVAILABLE)
    assert await Desk(keep=log.keep).ask() == Opened("EMAIL", VALUE)
    await log.close()
    assert [json.loads(one.line)["record"]["kind"] for one in sink.kept] == ["open", "gap", "reveal", "close"]


async def test_a_log_that_cannot_be_written_tells_nothing() -> None:
    sink, told = Fickle(), Told()
    log = a_log(sink, told=told)
    await log.start()
    sink.failing = True
    for known in (False, True):
        assert log.available is not known
        assert refused(await Desk(keep=log.keep).ask()) == (503, Reason.AUDIT_UNAVAILABLE)
    sink.failing = False
    await log.flush()
    assert await Desk(keep=log.keep).ask() == Opened("EMAIL", VALUE)
    await log.close()
