"""What a record says, and above all what it does not say."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st
from tidegate.admission.memory import MemoryLedger
from tidegate.audit.chain import parse, split
from tidegate.clock import SystemClock
from tidegate.edge import canonical
from tidegate.identity import BearerVerifier, Identifier, Introspector, KeySets, KeyStore
from tidegate.identity.api_key import mint_key
from tidegate.identity.key_file import KeyEntry
from tidegate.model import Admission, BodyState, Decision, Deny, LimitState, Reason, Request
from tidegate.pipeline import Pipeline
from tidegate.policy import parse_policy
from tidegate.policy.compiled import Policy

from tests.audit.world import ADA, POLICY, RPM, Fickle, Told, a_decision, a_log, a_refusal, an_exchange
from tests.envoy.world import REDACT, exchange, head, sse

PEPPER = b"a-pepper-of-thirty-two-bytes-long"
KEY, KEY_ID, DIGEST = mint_key(PEPPER)
ENTRY = KeyEntry(id=KEY_ID, hash=DIGEST, subject="ada", tenant="acme", tier="free", roles=["analyst"])
MARK = "hunter2QZ"
OPEN = parse_policy("""
version: 1
platform: {identity: {api_keys: {header: authorization, file: keys.yaml}}}
tiers: {free: {limits: [{name: rpm, algorithm: sliding_window, limit: 5, window: 60s}]}}
tenants: {acme: {grants: [{role: analyst, endpoints: "*"}]}}
endpoints:
  chat:
    owner: acme
    match: {hosts: ["*"], path: "/v1/{what}", methods: [POST]}
    model: {from: body.model, allowed: {free: "*"}}
""")


def written(*entries: Any, key: bytes = b"", policy: Policy = POLICY) -> list[dict[str, Any]]:
    """The records that a log makes of decisions and of (exchange, request id, coverage)."""
    sink, told = Fickle(), Told()

    async def main() -> None:
        log = a_log(sink, key=key, told=told, policy=lambda: policy)
        await log.start()
        for entry in entries:
            log.decision(entry) if isinstance(entry, Decision) else log.response(*entry)
        await log.close()

    asyncio.run(main())
    assert not told.errors
    records = [parse(split(record.line)[1]) for record in sink.kept]
    return [record for record in records if record["kind"] not in ("open", "close")]


def test_an_allowed_exchange_says_who_what_and_what_left() -> None:
    decision, response = written(a_decision(), an_exchange())
    assert {name: decision[name] for name in decision if name not in ("prev", "seq", "writer")} == {
        "at": "2027-01-15T08:00:00Z", "kind": "decision", "request_id": "r1", "subject": "ada", "tenant": "acme",
        "tier": "free", "client_id": "k1", "credential": "k1", "authentication": "api_key", "method": "POST",
        "endpoint": "chat", "path": "/v1/{what}", "model": "small", "verdict": "allow", "status": 0, "reason": "",
        "exceeded": [], "shadowed": [], "enforcement": "exact", "policy": POLICY.version,
        "inspection": None, "charged": [{"limit": "tier:free rpm", "unit": "requests", "cost": 1}],
    }  # fmt: skip
    assert {name: response[name] for name in response if name not in ("at", "prev", "seq", "writer")} == {
        "kind": "response", "request_id": "r1", "subject": "ada", "tenant": "acme", "tier": "free", "endpoint": "chat",
        "model": "small", "policy": POLICY.version, "outcome": "rewritten", "failure": "", "format": "json",
        "scanned_bytes": 60, "skipped_bytes": 40, "scanned_fields": 3, "skipped_fields": 1, "skipped": {"number": 1},
        "findings": [{"entity": "EMAIL", "action": "redact", "count": 2}], "structure": "",
        "sent_bytes": 90, "costs": {"tokens": 12},
    }  # fmt: skip


def test_a_limit_that_refused_is_named_and_nothing_was_charged() -> None:
    state = LimitState(RPM, 0, 9.0, 2.5)
    deny = Deny(429, Reason.LIMIT_EXCEEDED, "Limit 'rpm' is exhausted.")
    (record,) = written(a_decision(verdict=deny, admission=Admission((state,), state)))
    assert (record["verdict"], record["status"], record["reason"]) == ("deny", 429, "rate_limit_exceeded")
    assert (record["exceeded"], record["charged"]) == (["tier:free rpm"], [])


def test_a_shadow_limit_that_had_no_room_was_not_charged() -> None:
    admission = Admission((), shadowed=(LimitState(RPM, 0, 9.0, 2.5),))
    (record,) = written(a_decision(admission=admission))
    assert (record["shadowed"], record["charged"]) == (["tier:free rpm"], [])


def test_a_refusal_before_anybody_looked_says_which_endpoint_it_was_for() -> None:
    (record,) = written(a_refusal())
    assert (record["endpoint"], record["path"]) == ("chat", "/v1/{what}")
    assert record["subject"] == record["credential"] == ""


def test_a_model_that_no_policy_names_is_a_digest_that_is_the_same_each_time() -> None:
    one, other, named = written(
        a_decision(model="gpt-secret"), a_decision(model="gpt-secret"), a_decision(model="small")
    )
    assert one["model"] == other["model"] != "gpt-secret"
    assert one["model"].startswith("~")
    assert named["model"] == "small"
    assert written(a_decision(model="gpt-secret"), key=b"k" * 32)[0]["model"] != one["model"]


def test_a_subject_that_utf_8_cannot_carry_is_still_on_record() -> None:
    odd = type(ADA)("a\ud800b", "acme", "free", "jwt")
    (record,) = written(a_decision(identity=odd))
    assert record["subject"] == "a?b"


SECRETS = st.text("abcXYZ019-_.", min_size=0, max_size=12).map(lambda text: f"{text}{MARK}{text}")


@settings(max_examples=60, deadline=None)
@given(
    secret=SECRETS,
    shown=st.sampled_from([f"Bearer {KEY}", f"Bearer {KEY}{MARK}", f"Basic {MARK}", MARK, ""]),
    method=st.sampled_from(["POST", "GET", MARK.upper()]),
    path=st.sampled_from(["/v1/{}", "/{}/x", "/v1/chat"]),
    chunk=st.integers(1, 40),
)
def test_no_secret_of_a_request_or_a_response_is_in_the_log(
    secret: str, shown: str, method: str, path: str, chunk: int
) -> None:
    body = json.dumps({"model": secret, "messages": [{"role": "user", "content": secret}], secret: secret}).encode()
    request = canonical(
        request_id="r1",
        method=method,
        target=path.format(secret) + f"?key={secret}",
        authority=f"{MARK.lower()}.example.com",
        headers=[("authorization", shown), ("x-note", secret), ("cookie", secret), (MARK.lower(), "x")],
        body=body,
        body_state=BodyState.WHOLE,
    )
    keys = KeyStore.of([ENTRY], pepper=PEPPER)

    clock = SystemClock()

    async def decide() -> Decision:
        if isinstance(request, Deny):
            return Decision(Request("r1", "", "", ""), request, POLICY.version)
        verifier = BearerVerifier(clock=clock, key_sets=KeySets(clock=clock))
        identifier = Identifier(keys=keys, verifier=verifier, introspector=Introspector(clock=clock), clock=clock)
        pipeline = Pipeline(policy=lambda: OPEN, identifier=identifier, ledger=MemoryLedger(clock))
        return await pipeline.decide(request)

    subject = exchange(REDACT)
    subject.head(head(content_type="text/event-stream"))
    stream = sse(f"write to {MARK}@example.com", secret, " and on")
    for start in range(0, len(stream), chunk):
        subject.body(stream[start : start + chunk], end=False)
    subject.lost()
    coverage = subject.coverage()
    assert coverage.findings
    assert coverage.scanned_bytes + coverage.skipped_bytes == len(stream)
    decision = asyncio.run(decide())
    event(f"{decision.verdict.reason if isinstance(decision.verdict, Deny) else 'allow'}")
    text = json.dumps(written(decision, (subject, "r1", coverage), policy=OPEN))
    assert MARK.lower() not in text.lower()
    assert KEY not in text
    assert "Bearer" not in text


def test_a_line_is_in_canonical_form() -> None:
    sink = Fickle()

    async def main() -> None:
        log = a_log(sink, key=b"k" * 32)
        await log.start()
        log.decision(a_decision())
        log.decision(a_refusal())
        exchange, request_id, coverage = an_exchange(settled={"tokens": 3, "money": 2})
        log.response(exchange, request_id, dataclasses.replace(coverage, skipped={"policy": 1, "number": 2}))
        await log.close()

    asyncio.run(main())
    for record in sink.kept:
        text = record.line.decode()
        assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
