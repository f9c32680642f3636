"""A pseudonym that leads back leads there for who has the key, and says nothing and opens nothing for anybody else."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tidegate.filtering.canonical import canonical
from tidegate.filtering.pseudonyms import SCOPES, Pseudonym, ScopeKeys
from tidegate.filtering.rewriter import rewrite
from tidegate.filtering.ruleset import Action, FilterPlan, Rule, Ruleset, merge
from tidegate.filtering.sealed import CONTEXT_BYTES, MAX_PSEUDONYM, MAX_VALUE, Opened, Seal, parts_of

from tests.filtering.corpus import PLANS, cut_texts, run

OLD, NEW, OTHER = bytes(range(64)), bytes(range(64, 128)), bytes(range(128, 192))
SEAL = Seal((OLD,))
CONTEXT = b"context."
KEYS = ScopeKeys(b"r" * 32, b"c" * 32, b"t" * 32, SEAL)
VALUES = st.text(max_size=MAX_VALUE).filter(lambda text: len(text.encode("utf-8", "surrogatepass")) <= MAX_VALUE)


def sealed(value: str, *, seal: Seal = SEAL, entity: str = "EMAIL", context: bytes = CONTEXT) -> str:
    pseudonym = seal.close(entity, value, context)
    assert pseudonym is not None
    return pseudonym


def plan(entity: str = "EMAIL", scope: str = "tenant", keys: ScopeKeys = KEYS) -> FilterPlan:
    how = Pseudonym(scope, reversible=True)  # type: ignore[arg-type]
    return merge([Ruleset("pii", (Rule(frozenset({entity}), Action.PSEUDONYMIZE, how),))]).under(keys)


@given(
    VALUES, st.sampled_from(["EMAIL", "US_SSN", "BR_CPF"]), st.binary(min_size=CONTEXT_BYTES, max_size=CONTEXT_BYTES)
)
def test_a_value_comes_back_as_it_went_and_is_one_pseudonym_in_one_context(
    value: str, entity: str, context: bytes
) -> None:
    pseudonym = sealed(value, entity=entity, context=context)
    assert SEAL.open(pseudonym) == Opened(entity, value)
    assert pseudonym == sealed(value, entity=entity, context=context)
    assert pseudonym != sealed(value, entity=entity, context=CONTEXT[::-1] if context == CONTEXT else CONTEXT)
    assert len(pseudonym) <= MAX_PSEUDONYM
    assert re.fullmatch(rf"\[{entity}_[a-z2-7]+\]", pseudonym)


@given(VALUES, VALUES)
def test_two_values_are_two_pseudonyms_and_their_length_tells_blocks_of_sixteen(one: str, two: str) -> None:
    assert (sealed(one) == sealed(two)) == (one == two)
    blocks = [len(value.encode("utf-8", "surrogatepass")) // 16 for value in (one, two)]
    assert (len(sealed(one)) == len(sealed(two))) == (blocks[0] == blocks[1])


def test_a_value_that_is_too_long_is_not_sealed() -> None:
    assert SEAL.close("EMAIL", "a" * MAX_VALUE, CONTEXT) is not None
    assert SEAL.close("EMAIL", "a" * (MAX_VALUE + 1), CONTEXT) is None
    assert SEAL.close("EMAIL", "\u7528" * 86, CONTEXT) is None


@given(VALUES, st.data())
def test_whatever_is_changed_in_one_does_not_open(value: str, data: st.DataObject) -> None:
    pseudonym = sealed(value)
    at = data.draw(st.integers(0, len(pseudonym) - 1))
    other = data.draw(st.sampled_from("abcdefghijklmnopqrstuvwxyz234567ABC[]_ \u0430"))
    changed = pseudonym[:at] + other + pseudonym[at + 1 :]
    assume(changed != pseudonym)
    assert SEAL.open(changed) is None
    assert SEAL.open(pseudonym[:at] + pseudonym[at + 1 :]) is None
    assert SEAL.open(pseudonym + other) is None


@pytest.mark.parametrize("text", ["", "[EMAIL]", "[EMAIL_7f3a9c021b44]", "[EMAIL_" + "a" * 64 + "]", "bob@example.com"])
def test_other_texts_are_no_pseudonyms(text: str) -> None:
    assert SEAL.open(text) is None


def test_a_kind_of_value_cannot_be_taken_for_another() -> None:
    assert SEAL.open(sealed("536-22-8734").replace("EMAIL", "US_SSN")) is None


def test_a_context_cannot_be_taken_for_another() -> None:
    one, two = sealed("bob"), sealed("ann", context=b"another.")
    cut = len("[EMAIL_") + 8  # five bytes of the context
    assert SEAL.open(one[:cut] + two[cut:]) is None


def test_keys_change_and_the_old_ones_open_until_they_are_gone() -> None:
    before, both, after = Seal((OLD,)), Seal((NEW, OLD)), Seal((NEW,))
    old, new = sealed("bob", seal=before), sealed("bob", seal=both)
    assert old != new
    assert both.open(old) == both.open(new) == after.open(new) == Opened("EMAIL", "bob")
    assert before.open(new) is None
    assert after.open(old) is None
    assert Seal((OTHER,)).open(new) is None
    with pytest.raises(ValueError, match="needs a key"):
        Seal(())


def test_a_response_has_one_however_a_value_is_written_and_it_leads_to_the_value() -> None:
    out = rewrite(plan(), "bob@example.com BOB@Example.com b\u200bob\uff20example.com ann@example.com")
    first, second, third, other = out.split(" ")
    assert first == second == third != other
    assert SEAL.open(first) == Opened("EMAIL", "bob@example.com")
    assert SEAL.open(other) == Opened("EMAIL", "ann@example.com")


def test_scopes_share_none_and_each_leads_back() -> None:
    made = [rewrite(plan(scope=scope), "bob@example.com") for scope in SCOPES]
    assert len(set(made)) == len(SCOPES)
    assert {SEAL.open(one) for one in made} == {Opened("EMAIL", "bob@example.com")}
    contexts = [parts[1][:CONTEXT_BYTES] for one in made if (parts := parts_of(one))]
    assert len(set(contexts)) == len(SCOPES)


def test_without_a_seal_and_for_what_is_too_long_nothing_leads_back() -> None:
    plain = ScopeKeys(KEYS.response, KEYS.conversation, KEYS.tenant)
    assert re.fullmatch(r"\[EMAIL_[0-9a-f]{12}\]", rewrite(plan(keys=plain), "bob@example.com"))
    long = "a" * 60 + "@" + "b.example." * 21 + "com"
    assert len(long) > MAX_VALUE
    assert re.fullmatch(r"\[EMAIL_[0-9a-f]{12}\]", rewrite(plan(), long))


@given(VALUES, st.binary(min_size=CONTEXT_BYTES, max_size=CONTEXT_BYTES))
def test_one_that_is_read_again_is_left_alone(value: str, context: bytes) -> None:
    text = f"write to {sealed(value, context=context)} today"
    assert rewrite(PLANS[Action.REDACT], text) == text


def test_where_two_rules_meet_both_must_let_it_lead_back() -> None:
    rules = [
        Ruleset(name, (Rule(frozenset({"EMAIL"}), Action.PSEUDONYMIZE, Pseudonym("tenant", reversible=way)),))
        for name, way in (("one", True), ("two", False))
    ]
    assert merge(rules[:1]).reversible
    assert not merge(rules).reversible


@given(cut_texts())
def test_a_stream_has_the_same_however_it_is_cut(case: tuple[str, list[str]]) -> None:
    text, chunks = case
    whole = rewrite(plan(), text)
    assert run(plan(), chunks)[0] == whole
    for pseudonym in re.findall(r"\[EMAIL_[a-z2-7]{64,}\]", whole):
        opened = SEAL.open(pseudonym)
        assert opened is not None
        assert canonical("EMAIL", opened.value) == opened.value
