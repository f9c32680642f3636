"""Pseudonyms: the same for the same value and scope, another for every other, and never a value that somebody has."""

from __future__ import annotations

import ipaddress
import re
from contextlib import suppress
from itertools import combinations

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.filtering.canonical import canonical
from tidegate.filtering.detectors import DETECTORS
from tidegate.filtering.pseudonyms import ALIKE, SCOPES, Pseudonym, ScopeKeys
from tidegate.filtering.rewriter import rewrite
from tidegate.filtering.ruleset import Action, FilterPlan, Rule, Ruleset, merge
from tidegate.filtering.validators import luhn

from tests.filtering.corpus import cut_texts, run
from tests.filtering.formats.bodies import TYPES, body, cut, drive
from tests.filtering.formats.texts import PLACES

KEYS = ScopeKeys(b"r" * 32, b"c" * 32, b"t" * 32)
NOWHERE = [ipaddress.ip_network("198.18.0.0/15"), ipaddress.ip_network("2001:db8::/32")]
VALUES = [
    (row.entity, match[0])
    for row in DETECTORS
    for text in row.positives
    if row.entity in ALIKE and (match := re.fullmatch(r"[\x20-\x7e]+", text))
]


def plan(entity: str, scope: str = "tenant", *, alike: bool = False, keys: ScopeKeys | None = KEYS) -> FilterPlan:
    rules = (Rule(frozenset({entity}), Action.PSEUDONYMIZE, Pseudonym(scope, alike)),)  # type: ignore[arg-type]
    merged = merge([Ruleset("pii", rules)])
    return merged.under(keys) if keys else merged


def test_one_value_has_one_pseudonym_however_it_is_written() -> None:
    out = rewrite(plan("EMAIL"), "bob@example.com BOB@Example.com b\u200bob\uff20example.com ann@example.com")
    first, second, third, other = out.split(" ")
    assert first == second == third != other
    assert re.fullmatch(r"\[EMAIL_[0-9a-f]{12}\]", first)


def test_scopes_and_kinds_share_none() -> None:
    made = {rewrite(plan("EMAIL", scope), "bob@example.com") for scope in SCOPES}
    assert len(made) == len(SCOPES)
    other = plan("EMAIL", keys=ScopeKeys(KEYS.response, KEYS.conversation, b"T" * 32))
    assert rewrite(other, "bob@example.com") not in made
    digits = FilterPlan({"US_SSN": Action.PSEUDONYMIZE, "PHONE": Action.PSEUDONYMIZE}, keys=KEYS)
    assert len({digits.stand_in(kind, "536-22-8734")[-13:] for kind in digits.actions}) == 2


def test_without_keys_nothing_is_told_apart() -> None:
    assert rewrite(plan("EMAIL", keys=None), "bob@example.com ann@example.com") == "[EMAIL] [EMAIL]"


@pytest.mark.parametrize(("entity", "value"), VALUES)
def test_what_looks_like_a_value_is_none(entity: str, value: str) -> None:
    out = rewrite(plan(entity, alike=True), value)
    assert out == rewrite(plan(entity, alike=True), value)
    assert value not in out
    assert f"[{entity}" not in out
    if entity in {"CREDIT_CARD", "PHONE", "US_SSN"}:
        assert re.sub("[0-9]", "0", out) == re.sub("[0-9]", "0", value)
    if entity in {"CREDIT_CARD", "US_SSN"}:
        assert rewrite(FilterPlan({entity: Action.REDACT}), out) == out


@given(st.binary(min_size=32, max_size=32), st.from_regex(r"4[0-9]{3}(?:[ -]?[0-9]{4}){3}", fullmatch=True))
def test_no_card_is_made(key: bytes, card: str) -> None:
    made = plan("CREDIT_CARD", alike=True, keys=ScopeKeys(key, key, key)).stand_in("CREDIT_CARD", card)
    digits = re.sub("[^0-9]", "", made)
    assert re.sub("[0-9]", "0", made) == re.sub("[0-9]", "0", card)
    assert digits[0] == "0"
    assert not luhn(digits.encode())


@given(
    st.binary(min_size=32, max_size=32),
    st.sampled_from(
        [
            "(415) 555-0132",
            "+44 20 7946 0958",
            "415.555.0132",
            "+1 (415) 555-0132",
            "+49 30 901820",
            "020 7946 0958",
            "(030) 901820",
            "07911 123456",
        ]
    ),
)
def test_no_phone_number_is_made(key: bytes, phone: str) -> None:
    made = plan("PHONE", alike=True, keys=ScopeKeys(key, key, key)).stand_in("PHONE", phone)
    for region in ("US", "GB", "DE", "FR", "AU", "IN", "BR"):
        with suppress(phonenumbers.NumberParseException):
            assert not phonenumbers.is_valid_number(phonenumbers.parse(made, region))


@given(st.binary(min_size=32, max_size=32), st.ip_addresses())
def test_no_address_of_a_host_is_made(key: bytes, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    made = plan("IP_ADDRESS", alike=True, keys=ScopeKeys(key, key, key)).stand_in("IP_ADDRESS", str(address))
    assert any(ipaddress.ip_address(made) in network for network in NOWHERE if network.version == address.version)


def test_a_merge_keeps_the_narrower_scope_and_the_form_that_tells_less() -> None:
    made = [Pseudonym(scope, alike) for scope in SCOPES for alike in (False, True)]
    for one, other in combinations(made, 2):
        sets = [
            Ruleset(name, (Rule(frozenset({"EMAIL"}), Action.PSEUDONYMIZE, how),))
            for name, how in (("a", one), ("b", other))
        ]
        want = Pseudonym(min(one.scope, other.scope, key=SCOPES.index), one.alike and other.alike)
        assert merge(sets).pseudonyms == merge(sets[::-1]).pseudonyms == {"EMAIL": want}
    stricter = Ruleset("c", (Rule(frozenset({"EMAIL"}), Action.REDACT),))
    assert merge([*sets, stricter]).pseudonyms == {}


@given(cut_texts(), st.booleans())
def test_pseudonyms_do_not_depend_on_the_cutting(text: tuple[str, list[str]], alike: bool) -> None:
    rules = Ruleset("all", (Rule(frozenset(ALIKE), Action.PSEUDONYMIZE, Pseudonym("tenant", alike)),))
    chosen = merge([rules]).under(KEYS)
    whole, chunks = text
    assert run(chosen, chunks) == run(chosen, list(whole)) == run(chosen, [whole])


@pytest.mark.parametrize("kind", sorted(TYPES))
@given(places=PLACES)
def test_every_format_gives_a_value_the_same_pseudonym(kind: str, places: list[int]) -> None:
    lead = {"sse": "data: ", "csv": "a,"}.get(kind, "")
    value = "bob@example.com" if kind == "csv" else '{"a":"bob@example.com"}'
    data = f"{lead}{value}\n\n".encode() if kind == "sse" else f"{lead}{value}\n".encode()
    chosen = plan("EMAIL")
    out, failure = drive(body(kind, chosen), cut(data, places))
    assert not failure
    assert out.decode() == data.decode().replace("bob@example.com", chosen.stand_in("EMAIL", "bob@example.com"))


def test_a_canonical_form_is_what_pseudonyms_are_made_of() -> None:
    assert canonical("PHONE", "(415) 555-0132") == canonical("PHONE", "+1 415 555 0132") == "+14155550132"
