"""The table of detectors: every row's true and false values, wherever they stand, and the rules between rows."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import luhn as stdnum_luhn
from tidegate.filtering.detector import Detector
from tidegate.filtering.detectors import DETECTORS, ENTITIES, NUMERIC
from tidegate.filtering.rewriter import TextRewriter, rewrite
from tidegate.filtering.ruleset import Action, FilterPlan
from tidegate.filtering.scanner import scanner_for
from tidegate.filtering.validators import luhn

from tests.filtering.corpus import PLANS, PROSE, SINGLE

POSITIVES = [pytest.param(row, value, id=f"{row.name}: {value[:40]!r}") for row in DETECTORS for value in row.positives]
NEGATIVES = [pytest.param(row, value, id=f"{row.name}: {value[:40]!r}") for row in DETECTORS for value in row.negatives]
PLACES = [
    "{}", "it is {} and",
    "{} at the start", "at the end {}", "({})", "[{}]", '"{}"', "<{}>", "x: {}, y", "a={};b", "{}.",
    "{}!", "{}?", "\n{}\n", "\t{}\t", "\u00ab{}\u00bb", "\u4e2d\uff1a{}\uff0c\u6587", "**{}**", "`{}`", "- {}\n- {}",
]  # fmt: skip


def test_the_published_names() -> None:
    names = {
        "EMAIL", "PHONE", "CREDIT_CARD", "IBAN", "US_SSN", "IP_ADDRESS", "AWS_KEY", "GITHUB_TOKEN", "OPENAI_KEY",
        "SLACK_TOKEN", "GOOGLE_KEY", "JWT", "PRIVATE_KEY",
    }  # fmt: skip
    assert names == ENTITIES
    assert frozenset({"CREDIT_CARD"}) == NUMERIC
    assert all(row.positives and row.negatives for row in DETECTORS)


@pytest.mark.parametrize(("row", "value"), POSITIVES)
def test_a_true_value_is_found_wherever_it_stands(row: Detector, value: str) -> None:
    for plan in (SINGLE[row.entity], PLANS[Action.REDACT]):
        for place in PLACES:
            text = place.replace("{}", value)
            out = rewrite(plan, text)
            assert f"[{row.entity}]" in out, text
            assert value.rpartition("=")[2].strip(' "') not in out


@pytest.mark.parametrize(("row", "value"), NEGATIVES)
def test_a_near_miss_is_left_alone(row: Detector, value: str) -> None:
    for place in PLACES:
        text = place.replace("{}", value)
        assert rewrite(SINGLE[row.entity], text) == text


def test_prose_has_no_findings() -> None:
    assert rewrite(PLANS[Action.REDACT], PROSE) == PROSE


def test_an_entity_that_no_plan_names_hides_nothing() -> None:
    text = "ghp_16C7e42F292c6912E7710c838347Ae178B4a@example.com"
    assert rewrite(SINGLE["EMAIL"], text) == "[EMAIL]"
    assert rewrite(SINGLE["GITHUB_TOKEN"], text) == "[GITHUB_TOKEN]@example.com"


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("4111 1111 1111 1112 4111 1111 1111 1111", "4111 1111 1111 1112 [CREDIT_CARD]"),
        ("1234 4111 1111 1111 1111", "1234 [CREDIT_CARD]"),
        ("4111 1111 1111 1111 123", "[CREDIT_CARD] 123"),
        ("4111 1111 1111 1111 12/25", "[CREDIT_CARD] 12/25"),
        ("card_4111111111111111.", "card_[CREDIT_CARD]."),
        ("tel415-555-0132", "tel[PHONE]"),
        ("statement_GB82WEST12345698765432.pdf", "statement_[IBAN].pdf"),
        ("1.2.3.4.5 but 1.2.3.4", "1.2.3.4.5 but [IP_ADDRESS]"),
        ("bob@bob@example.com", "bob@[EMAIL]"),
        ("bob@example.com.", "[EMAIL]."),
        ("bob@example.com\u3002\u8c22\u8c22", "[EMAIL]\u3002\u8c22\u8c22"),
        ("bob@example\u3002com", "[EMAIL]"),
        ("**bob@example.com**", "**[EMAIL]**"),
        ("?email=bob@example.com&x=1", "?email=[EMAIL]&x=1"),
        ("x" * 70 + "@example.com", "x" * 6 + "[EMAIL]"),
        ("[2001:db8::1]:443", "[[IP_ADDRESS]]:443"),
        ("+44 20 7946 0958 12 people", "[PHONE] 12 people"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "aws_secret_access_key = [AWS_KEY]"),
        ("https://hooks.slack.com/services/T00000000/B00000000/abcdefghijkl", "https://[SLACK_TOKEN]"),
        ("\uff14\uff11\uff11\uff11 1111\u00a01111\u20131111", "[CREDIT_CARD]"),
        ("4\ufe0f\u20e31\ufe0f\u20e31111 1111 1111 1111", "4\ufe0f\u20e31\ufe0f\u20e31111 1111 1111 1111"),
        ("4\ufe0f\u20e31\ufe0f\u20e311 1111 1111 1111", "[CREDIT_CARD]"),
        ("\u0664\u0661\u0661\u0661111111111111", "[CREDIT_CARD]"),
        ("a\u200b\u200bb \u200bbob\u200b@example.com\u200b c", "a\u200b\u200bb \u200b[EMAIL]\u200b c"),
    ],
)
def test_where_a_value_begins_and_ends(text: str, want: str) -> None:
    assert rewrite(PLANS[Action.REDACT], text) == want


@given(st.text("0123456789", min_size=2, max_size=22))
def test_luhn_agrees_with_stdnum(digits: str) -> None:
    assert luhn(digits.encode()) == stdnum_luhn.is_valid(digits)


@given(st.lists(st.integers(0, 300), min_size=4, max_size=4))
def test_ipv4_agrees_with_ipaddress(octets: list[int]) -> None:
    text = ".".join(map(str, octets))
    try:
        ipaddress.IPv4Address(text)
        want = "[IP_ADDRESS]"
    except ValueError:
        want = text
    assert rewrite(SINGLE["IP_ADDRESS"], text) == want


@given(st.ip_addresses(v=6))
def test_every_ipv6_spelling_is_found(address: ipaddress.IPv6Address) -> None:
    for text in {str(address), address.exploded}:
        assert rewrite(SINGLE["IP_ADDRESS"], f"at {text}.") == "at [IP_ADDRESS]." or text.count(":") < 4


@pytest.mark.parametrize(("row", "value"), POSITIVES)
def test_a_line_break_that_is_written_out_hides_nothing(row: Detector, value: str) -> None:
    for before in (r"\n", r"\r\n", r"\t"):
        out = rewrite(SINGLE[row.entity], f"print('a:{before}{value}')")
        assert f"[{row.entity}]" in out
        assert value.rpartition("=")[2].strip(' "') not in out


@pytest.mark.parametrize(
    ("entity", "text", "want"),
    [
        ("CREDIT_CARD", "378282246310005 123", "[CREDIT_CARD] 123"),
        ("CREDIT_CARD", "3782 8224 6310 005 123", "[CREDIT_CARD] 123"),
        ("CREDIT_CARD", "4111.1111.1111.1111.", "[CREDIT_CARD]."),
        ("PHONE", "+14155550132\n++14155550133", "[PHONE]\n+[PHONE]"),
        ("PHONE", '<a href="tel:4155550132">', '<a href="tel:[PHONE]">'),
        ("PHONE", "Tel: +44 20 7946 0958 12 people", "Tel: [PHONE] 12 people"),
        ("IP_ADDRESS", "zip(indexes[::2], indexes[1::2], a[10::3])", "zip(indexes[::2], indexes[1::2], a[10::3])"),
        (
            "PRIVATE_KEY",
            "key = '-----BEGIN PRIVATE KEY-----\\n'\n  'MIIEvQIBADANBgkqhkiG9w0B'\nx = 1",
            "key = '[PRIVATE_KEY]'\nx = 1",
        ),
    ],
)
def test_values_in_other_dress(entity: str, text: str, want: str) -> None:
    assert rewrite(SINGLE[entity], text) == want


def test_a_plan_that_names_the_unknown_is_refused() -> None:
    with pytest.raises(ValueError, match="no detector for SHOE_SIZE"):
        TextRewriter(FilterPlan({"SHOE_SIZE": Action.REDACT, "EMAIL": Action.REDACT}))


def test_a_plan_is_compiled_once() -> None:
    one, two = FilterPlan({"EMAIL": Action.REDACT}), FilterPlan({"EMAIL": Action.BLOCK})
    assert scanner_for(one) is scanner_for(two) is scanner_for(one)
    assert scanner_for(FilterPlan({})) is None
