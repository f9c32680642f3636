"""Telephone numbers as the people of a region write them: found there, left elsewhere, in chunks and at linear cost."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from random import Random

import phonenumbers
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tidegate.filtering import phones
from tidegate.filtering.detector import ANCHORED, matcher
from tidegate.filtering.detectors import ENTITIES
from tidegate.filtering.formats.sieve import sieve
from tidegate.filtering.rewriter import rewrite
from tidegate.filtering.ruleset import Action, FilterPlan, Rule, Ruleset, merge

from tests.filtering.corpus import PROSE, meaning, run
from tests.filtering.cost import PART, SIZE, WHOLE, per_mb

CASES = yaml.safe_load((Path(__file__).parents[1] / "cases" / "phones.yaml").read_text(encoding="utf-8"))
MANY = frozenset(CASES)
ALL = FilterPlan(dict.fromkeys(ENTITIES, Action.REDACT), regions=MANY)
FOUND = [(region, text) for region, case in CASES.items() for text in case["found"]]
LEFT = [(region, text) for region, case in CASES.items() for text in case["left"]]
PLACES = (
    "{}",
    "({})",
    "it is {}, so",
    "Ruf: {}.",
    "{}\n{}",
    "a={};b",
    "{}!",
    '"{}"',
    "\u00ab{}\u00bb",
    "**{}**",
    "<{}>",
)


def _plan(*regions: str) -> FilterPlan:
    return FilterPlan({"PHONE": Action.REDACT}, regions=frozenset(regions))


def _digits(text: str) -> str:
    return "".join(filter(str.isdigit, text))


@pytest.mark.parametrize(("region", "text"), FOUND)
def test_a_number_is_found_in_its_region_wherever_it_stands(region: str, text: str) -> None:
    for plan in (_plan(region), _plan(*MANY), ALL):
        for place in PLACES:
            assert not _digits(rewrite(plan, place.replace("{}", text))), place


@pytest.mark.parametrize(("region", "text"), LEFT)
def test_what_is_no_number_there_is_left_alone(region: str, text: str) -> None:
    for place in ("{}", "({})", "it is {}, so", "{}\n{}", "{}."):
        given = place.replace("{}", text)
        assert rewrite(_plan(region), given) == given


def test_a_number_of_a_region_that_nobody_named_is_left_alone() -> None:
    assert rewrite(_plan(), "020 7946 0958") == rewrite(_plan("FR"), "020 7946 0958") == "020 7946 0958"
    assert rewrite(_plan("GB"), "020 7946 0958") == rewrite(_plan("FR", "GB"), "020 7946 0958") == "[PHONE]"


def test_numbers_with_a_country_code_are_found_as_before() -> None:
    for text in ("+44 20 7946 0958", "+33 1 99 00 12 34", "tel: 4155550132", "(415) 555-0132"):
        assert rewrite(_plan(*MANY), text) == rewrite(_plan(), text)


def test_full_width_escaped_and_encoded_numbers_are_numbers() -> None:
    for text in ("\uff10\uff12\uff10 7946 0958", "&#48;20 7946 0958", "MDIwIDc5NDYgMDk1OA==", "%30207946%200958"):
        assert not _digits(rewrite(_plan("GB"), text))


def test_rules_that_name_different_regions_find_the_numbers_of_all() -> None:
    def ruleset(action: Action, *regions: str) -> Ruleset:
        return Ruleset("pii", (Rule(frozenset({"PHONE"}), action, regions=frozenset(regions)),))

    plan = merge([ruleset(Action.MASK, "GB"), ruleset(Action.REDACT, "FR"), ruleset(Action.ANNOTATE)])
    assert rewrite(plan, "020 7946 0958 or 01 99 00 12 34") == "[PHONE] or [PHONE]"


def test_prose_and_the_united_states_have_none_beyond_the_table() -> None:
    assert rewrite(_plan(*MANY), PROSE) == PROSE
    assert phones.rows(frozenset({"US", "CA"})) == ()


@pytest.mark.parametrize("region", sorted(phones.REGIONS))
def test_every_region_finds_the_example_of_its_plan(region: str) -> None:
    example = phonenumbers.example_number(region)
    if len(phonenumbers.national_significant_number(example)) < 7:
        return  # an island's
    written = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.NATIONAL)
    assert not _digits(rewrite(_plan(region), f"Please call {written}, thanks"))


@pytest.mark.parametrize("region", sorted(MANY - {"GB", "FR"}))
def test_a_plan_has_the_numbers_that_phonenumbers_says(region: str) -> None:
    rng = Random(region)
    plan = matcher(phones.plan_of(region))
    example = phonenumbers.national_significant_number(phonenumbers.example_number(region))
    code = phonenumbers.country_code_for_region(region)
    for _ in range(300):
        keep = rng.randrange(len(example) + 1)
        digits = example[:keep] + "".join(rng.choices("0123456789", k=rng.randint(4, 12) - min(keep, 4)))
        number = phonenumbers.PhoneNumber(code, int(digits), italian_leading_zero=digits[0] == "0" or None)
        if phonenumbers.national_significant_number(number) != digits:
            continue  # several zeros
        told = plan(ANCHORED, digits.encode(), 0, len(digits))[0][0] == 0
        assert told == phonenumbers.is_valid_number_for_region(number, region), digits


PIECES = st.sampled_from(
    [*(text for _, text in FOUND + LEFT), *"0123456789()-./ +\n", "call ", " Tel ", "\u200b", "&#48;"]
)


@given(st.lists(PIECES, max_size=8).map("".join), st.lists(st.integers(0, 120), max_size=10))
def test_how_a_text_is_cut_changes_nothing(text: str, cuts: list[int]) -> None:
    at = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
    for plan in (_plan("GB", "DE", "ES"), _plan(*MANY), ALL):
        whole = run(plan, [text])
        assert run(plan, [text[start:end] for start, end in pairwise(at)]) == whole
        assert run(plan, list(text)) == whole
        assert "&" in text or whole[0] == meaning(plan, text)  # which knows nothing of what is left as it is written


@pytest.mark.parametrize("text", [text for _, text in FOUND])
def test_a_text_that_holds_a_number_passes_no_sieve(text: str) -> None:
    plan = _plan(*MANY)
    held = f"call {text} now"
    assert sieve(frozenset(plan.actions), plan.regions).suspects(["so it is", held]) == {held}


HOSTILE = (
    "01 ", "01 01 01 01 0x ", "0", "01", "00 00 00 ", "12 34 56 78 ", "61 23 45 67 ", "(01)", "(11) ", "612-345-67 ",
    "8 (9", "call 1 2 3 4 ", "call 61234567 ", "tel. ", "0123456789012 ", "02 1 1 1 ", "09.30 - 17.00 ", "+01 02 ",
    "1 22 333 4444 ",
)  # fmt: skip


@pytest.mark.parametrize("unit", HOSTILE)
@pytest.mark.parametrize("plan", [_plan("GB", "DE", "FR", "ES", "IT"), ALL], ids=["a few regions", "all at once"])
def test_a_megabyte_of_what_looks_like_numbers_is_quick(plan: FilterPlan, unit: str) -> None:
    def work(text: str) -> object:
        return rewrite(plan, text)

    if per_mb(work, unit * (PART // len(unit)), 0.8 * WHOLE) > 0.8 * WHOLE:
        assert per_mb(work, unit * (SIZE // len(unit)), WHOLE) < WHOLE
