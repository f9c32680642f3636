"""One value has one pseudonym and one hash, in whatever way it is written."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.filtering.canonical import WAYS, canonical
from tidegate.filtering.detectors import DETECTORS, ENTITIES
from tidegate.filtering.pseudonyms import Pseudonym, ScopeKeys
from tidegate.filtering.rewriter import rewrite
from tidegate.filtering.ruleset import Action, FilterPlan
from tidegate.filtering.secrets import SECRETS

from tests.filtering.corpus import cut_texts, run

KEYS = ScopeKeys(b"r" * 32, b"c" * 32, b"t" * 32)
REGIONS = frozenset({"DE", "ES", "FR", "GB"})
# Each row is one value.
SAME = {
    "PHONE": [
        ["+44 20 7946 0958", "+44 (0)20 7946 0958", "020 7946 0958", "(020) 7946 0958", "02079460958", "020-7946-0958"],
        ["+1 415 555 0132", "(415) 555-0132", "415-555-0132", "1-415-555-0132", "415.555.0132"],
        ["+33 1 23 45 67 89", "01 23 45 67 89", "01.23.45.67.89"],
        ["+49 30 901820", "(030) 901820", "030 901820"],
        ["+34 912 345 678", "912 345 678"],
    ],
    "EMAIL": [
        ["bob@example.com", "BOB@Example.COM", "bob\uff20example\uff0ecom", "bob\\@example.com"],
        ["bob@b\xfccher.example", "bob@xn--bcher-kva.example", "bob@bu\u0308cher.example"],
    ],
    "EMAIL_SPELT_OUT": [["bob [at] example [dot] com", "bob(at)example.com", "bob <at> Example (dot) com"]],
    "CREDIT_CARD": [["4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111"]],
    "IBAN": [["GB82WEST12345698765432", "GB82 WEST 1234 5698 7654 32", "gb82-west-1234-5698-7654-32"]],
    "US_SSN": [["123-45-6789", "123 45 6789"]],
    "US_ITIN": [["900-70-1234", "900 70 1234"]],
    "UK_NINO": [["AB123456C", "AB 12 34 56 C", "AB-12-34-56-C"]],
    "BR_CPF": [["CPF 12345678909", "123.456.789-09"]],
    "CA_SIN": [["SIN: 123-456-782", "SIN: 123 456 782"]],
    "CH_AHV": [["756.1234.5678.97", "7561234567897"]],
    "ES_NIE": [["X1234567L", "X-1234567-L"]],
    "EU_VAT": [["VAT: DE123456788", "VAT: DE 123456788"]],
    "FR_NIR": [["NIR 180017512345660", "NIR 1 80 01 75 123 456 60"]],
    "SE_PERSONNUMMER": [["personnummer 800101-1231", "personnummer 198001011231"]],
    "IP_ADDRESS": [["2001:db8::1", "2001:0DB8:0:0:0:0:0:1"], ["192.168.0.1", "::ffff:192.168.0.1"]],
    "MAC_ADDRESS": [["3c:22:fb:4a:9d:1e", "3C-22-FB-4A-9D-1E", "3c22.fb4a.9d1e"]],
    "CRYPTO": [
        ["bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4"],
        ["0x52908400098527886E0F7030069857D2E4169EE7", "0x52908400098527886e0f7030069857d2e4169ee7"],
    ],
    "DATE_OF_BIRTH": [
        ["born 1980-02-29", "born 29/02/1980", "born 29.2.1980", "born February 29, 1980", "born 29 Feb 1980"],
        ["born 03/31/80", "born 31 March 1980", "born 1980/3/31", "born March 31st, 1980"],
    ],
    "GPS_COORDINATES": [["GPS: 48.856600, -2.352200", "GPS: 48.8566,-2.3522", "GPS: 48.8566\xb0 N, 2.3522\xb0 W"]],
    "SWIFT_BIC": [["BIC: DEUTDEFF", "BIC: DEUTDEFFXXX"]],
}
ROWS = [(entity, row) for entity, rows in SAME.items() for row in rows]
# What has no other spelling, or one of which a letter more or less is another secret.
ONE_WAY = {"HTTP_CREDENTIALS", "JWT", "URL_CREDENTIALS"}


def _plan(entity: str, action: Action) -> FilterPlan:
    how = {entity: Pseudonym("tenant")}
    return FilterPlan({entity: action}, pseudonyms=how, keys=KEYS, regions=REGIONS)


@pytest.mark.parametrize("action", [Action.PSEUDONYMIZE, Action.HASH])
@pytest.mark.parametrize(("entity", "row"), ROWS)
def test_every_spelling_of_a_value_has_one_stand_in(entity: str, row: list[str], action: Action) -> None:
    outs = [rewrite(_plan(entity, action), f"see {text} now", key=b"k" * 32) for text in row]
    found = [re.findall(rf"\[{entity}[:_][0-9a-f]{{12}}\]", out) for out in outs]

    assert all(len(one) == 1 for one in found), outs
    assert len({one[0] for one in found}) == 1, outs


# Each of these is another value than its neighbours, however like them it is.
DIFFERENT = {
    "PHONE": ["+44 20 7946 0958", "+44 20 7946 0959", "+1 207 946 0958", "020 7946 0950"],
    "EMAIL": ["bob@example.com", "bob@example.org", "bob+1@example.com", "bob@me\xdfe.example", "bob@messe.example"],
    "CREDIT_CARD": ["4111111111111111", "5500005555555559"],
    "CRYPTO": ["1BoatSLRHtKNngkdXEeobR76b53LETtpyT", "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy"],
    "DATE_OF_BIRTH": ["born 03/04/1980", "born 4.3.1980", "born 3.4.1981"],
    "FI_PERSONAL_IDENTITY_CODE": ["010180-1232", "010180A1232"],
    "GPS_COORDINATES": ["GPS: 48.8566, 2.3522", "GPS: 48.8566, -2.3522", "GPS: -48.8566, 2.3522"],
    "SE_PERSONNUMMER": ["personnummer 800101-1231", "personnummer 800101+1231"],
    "SWIFT_BIC": ["BIC: DEUTDEFF", "BIC: DEUTDEFF500"],
}


@pytest.mark.parametrize("entity", DIFFERENT)
def test_values_that_differ_are_told_apart(entity: str) -> None:
    plan = _plan(entity, Action.PSEUDONYMIZE)
    outs = [rewrite(plan, f"see {text} now") for text in DIFFERENT[entity]]

    assert all(f"[{entity}_" in out for out in outs)
    assert len(set(outs)) == len(outs)


@pytest.mark.parametrize("regions", [frozenset(), REGIONS])
@pytest.mark.parametrize("row", DETECTORS, ids=lambda row: f"{row.entity}-{row.name}")
def test_every_value_of_the_table_can_be_compared(row: object, regions: frozenset[str]) -> None:
    for text in row.positives:  # type: ignore[attr-defined]
        plan = FilterPlan({row.entity: Action.HASH}, regions=regions)  # type: ignore[attr-defined]
        assert f"[{row.entity}:" in rewrite(plan, text, key=b"k" * 32)  # type: ignore[attr-defined]


def test_every_kind_has_a_form_in_which_it_is_compared() -> None:
    secret = {row.entity for row in SECRETS} | ONE_WAY

    assert ENTITIES - secret <= WAYS
    assert not {"GENERIC_SECRET", "AWS_KEY"} & WAYS


@pytest.mark.parametrize(
    ("region", "national", "number"),
    [
        ("GB", "07700900123", "+44 7700 900123"),
        ("IT", "06 1234 5678", "+39 06 1234 5678"),
        ("RU", "8 (916) 123-45-67", "+7 916 123-45-67"),
        ("HU", "06 1 234 5678", "+36 1 234 5678"),
        ("BY", "8 029 123-45-67", "+375 29 123-45-67"),
        ("IN", "098765 43210", "+91 98765 43210"),
        ("PL", "22 123 45 67", "+48 22 123 45 67"),
    ],
)
def test_a_number_of_a_region_is_the_one_with_its_country_code(region: str, national: str, number: str) -> None:
    plan = FilterPlan({"PHONE": Action.HASH}, regions=frozenset({region}))

    assert rewrite(plan, f"call {national} now", key=b"k") == rewrite(plan, f"call {number} now", key=b"k")


def test_a_number_that_several_plans_have_is_of_the_first_region() -> None:
    both = frozenset({"GB", "DE"})

    assert canonical("PHONE", "07400 123456", both) == "+497400123456"
    assert canonical("PHONE", "07400 123456", frozenset({"GB"})) == "+447400123456"
    assert canonical("PHONE", "020 7946 0958", both) == "+442079460958"
    assert canonical("PHONE", "(212) 555-0132", both) == "+12125550132"


@given(cut=cut_texts())
def test_a_hash_does_not_depend_on_how_the_text_is_cut(cut: tuple[str, list[str]]) -> None:
    text, pieces = cut
    plan = FilterPlan(dict.fromkeys(["PHONE", "EMAIL", "IP_ADDRESS"], Action.HASH), regions=REGIONS)

    assert run(plan, pieces) == run(plan, [text])


@given(st.sampled_from(sorted(WAYS)), st.text())
def test_what_is_no_value_is_refused_as_none(entity: str, text: str) -> None:
    assert isinstance(canonical(entity, text, frozenset({"GB"})), str)


def test_an_address_that_is_one_only_as_it_is_written_has_a_hash() -> None:
    assert rewrite(FilterPlan({"IP_ADDRESS": Action.HASH}), "%48.8.8.8") != "%48.8.8.8"
