"""What exchanges look for is compiled when the policy is loaded: none of them waits for that."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
from tidegate.envoy.plans import Plans, plans_of
from tidegate.filtering import scanner
from tidegate.filtering.ruleset import merge
from tidegate.filtering.scanner import Scanner, compile_ahead
from tidegate.filtering.staged import rewriting
from tidegate.policy import Policy, load_policy, parse_policy
from tidegate.server import Worker
from tidegate.settings import Settings

from tests.envoy.test_exchange import HANDOFF

POLICY = """
version: 1
platform:
  identity:
    issuers:
      - name: corp
        issuer: https://id.example.com/
        audiences: [models]
        algorithms: [RS256]
        jwks_uri: https://id.example.com/jwks
        claims: {tenant: org, tier: plan}
  floor: {rulesets: [secrets]}
tiers:
  free: {}
  paid: {rulesets: [codes]}
classifications:
  open: {rulesets: []}
  personal: {rulesets: [pii]}
rulesets:
  secrets: [{detect: [AWS_KEY, GITHUB_TOKEN], act: block}]
  pii: [{detect: [EMAIL, PHONE], act: mask}, {detect: [IBAN], act: annotate}]
  codes: [{detect: [SWIFT_BIC, EU_VAT], act: redact}]
tenants:
  acme: {grants: [{role: analyst, endpoints: [chat, files]}]}
endpoints:
  chat:
    owner: acme
    match: {hosts: [models.example.com], path: /v1/chat/completions, methods: [POST]}
    classification: personal
    request: {rules: [{detect: [US_SSN, CREDIT_CARD], act: block}]}
  files:
    owner: acme
    match: {hosts: [models.example.com], path: /v1/files, methods: [GET]}
    classification: open
"""


@pytest.fixture
def policy() -> Policy:
    return parse_policy(POLICY)


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[Scanner]:
    made: list[Scanner] = []

    class Noted(Scanner):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            made.append(self)

    scanner._scanner.cache_clear()
    monkeypatch.setattr(scanner, "Scanner", Noted)
    return made


def _exchanges(policy: Policy, *, shadow: bool) -> None:
    """An answer with values for every endpoint and tier, and a prompt where prompts are checked."""
    plans = Plans(lambda: policy, shadow=shadow)
    asked = [
        plans(HANDOFF._replace(endpoint=endpoint, rulesets=names)) for (endpoint, _), names in policy.passes.items()
    ]
    asked += [merge(each.request.rules) for each in policy.endpoints if each.request is not None]
    assert len({frozenset(plan.actions) for plan in asked}) == 5
    for plan in asked:
        rewriter = rewriting(plan)
        rewriter.feed("ada@example.com, +1 415 555 0132, DE89370400440532013000, 219-09-9999 and AKIAIOSFODNN7EXAMPLE.")
        rewriter.finish()
        assert rewriter.findings


@pytest.mark.parametrize("shadow", [False, True])
def test_no_exchange_compiles_what_it_looks_for(policy: Policy, compiled: list[Scanner], *, shadow: bool) -> None:
    compile_ahead(plans_of(policy, shadow=shadow))
    ahead = len(compiled)
    assert ahead >= 5
    _exchanges(policy, shadow=shadow)
    assert len(compiled) == ahead


def test_without_that_exchanges_do(policy: Policy, compiled: list[Scanner]) -> None:
    _exchanges(policy, shadow=False)
    assert compiled


def test_no_more_is_compiled_than_is_kept(
    policy: Policy, compiled: list[Scanner], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanner, "_KEPT", 3)
    compile_ahead(plans_of(policy))
    assert len(compiled) == 3


def test_a_worker_has_compiled_it_before_it_serves(tmp_path: Path, compiled: list[Scanner]) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY, encoding="utf-8")
    worker = Worker(Settings(policy=file, pepper=b"p" * 32))
    ahead = len(compiled)
    _exchanges(worker.source.current, shadow=False)
    assert len(compiled) == ahead > 0


MODERATED = """
version: 1
content_safety: {azure: {key_file: key, endpoint: "https://made-up.example.com"}}
deny_lists: {projects: {file: projects.txt}}
rulesets: {safe: [{detect: [CONTENT_SAFETY, LIST_PROJECTS], act: redact}]}
platform: {floor: {rulesets: [safe]}}
tenants: {acme: {}}
endpoints: {chat: {owner: acme, match: {hosts: "*", path: /chat, methods: [POST]}}}
"""
HANDED = HANDOFF._replace(endpoint="chat", rulesets=("safe",))


@pytest.fixture
def moderated(tmp_path: Path) -> Path:
    for name, text in {"policy.yaml": MODERATED, "key": "a-made-up-key", "projects.txt": "Blue Bird"}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / "policy.yaml"


def test_a_key_of_a_moderation_service_that_was_changed_is_used_from_then_on(moderated: Path) -> None:
    """It is no part of the version, which is published."""
    known = load_policy(moderated)
    plans = Plans(lambda: known)
    before = plans(HANDED)
    assert plans(HANDED) is before
    moderated.with_name("key").write_text("another-made-up-key", encoding="utf-8")
    before_it, known = known, load_policy(moderated)
    assert known.version == before_it.version
    assert set(plans(HANDED).spotters) == set(known.spotters)
    assert set(before.spotters) == set(before_it.spotters)  # what runs goes on under what it began with


def test_nothing_is_kept_of_a_policy_that_was_replaced(moderated: Path) -> None:
    """A list of 100,000 terms is 20 MB, and lists change by the hour."""
    known = load_policy(moderated)
    plans = Plans(lambda: known)
    plans(HANDED)
    old = [weakref.ref(spotter) for spotter in known.spotters]
    moderated.with_name("projects.txt").write_text("Red Kite", encoding="utf-8")
    known = load_policy(moderated)
    plans(HANDED)
    gc.collect()
    assert [spotter() for spotter in old] == [None, None]
