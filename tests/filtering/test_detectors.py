"""The table of detectors: every row's true and false values, wherever they stand, and the rules between rows."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import luhn as stdnum_luhn
from tidegate.filtering.detector import Detector
from tidegate.filtering.detectors import DETECTORS, ENTITIES, NUMERIC
from tidegate.filtering.offsets import Offsets
from tidegate.filtering.rewriter import TextRewriter, rewrite
from tidegate.filtering.ruleset import Action, FilterPlan
from tidegate.filtering.scanner import scanner_for
from tidegate.filtering.secrets import SECRETS
from tidegate.filtering.validators import luhn
from tidegate.filtering.view import fold

from tests.filtering.corpus import PLANS, PROSE, SINGLE, run

POSITIVES = [pytest.param(row, value, id=f"{row.name}: {value[:40]!r}") for row in DETECTORS for value in row.positives]
NEGATIVES = [pytest.param(row, value, id=f"{row.name}: {value[:40]!r}") for row in DETECTORS for value in row.negatives]
PLACES = [
    "{}", "it is {} and",
    "{} at the start", "at the end {}", "({})", "[{}]", '"{}"', "<{}>", "x: {}, y", "a={};b", "{}.",
    "{}!", "{}?", "\n{}\n", "\t{}\t", "\u00ab{}\u00bb", "\u4e2d\uff1a{}\uff0c\u6587", "**{}**", "`{}`", "- {}\n- {}",
]  # fmt: skip


def test_names_that_policies_use_stay() -> None:
    names = {
        "EMAIL", "PHONE", "CREDIT_CARD", "IBAN", "US_SSN", "IP_ADDRESS", "AWS_KEY", "GITHUB_TOKEN", "OPENAI_KEY",
        "SLACK_TOKEN", "GOOGLE_KEY", "JWT", "PRIVATE_KEY",
    }  # fmt: skip
    assert names <= ENTITIES
    assert frozenset({"CREDIT_CARD"}) == NUMERIC


def test_a_row_states_what_it_finds_and_what_it_leaves() -> None:
    assert len({row.name for row in DETECTORS}) == len(DETECTORS)
    for row in DETECTORS:
        assert len(row.positives) >= 1, row.name
        assert len(row.negatives) >= 1, row.name


def test_more_than_sixty_kinds_of_secret() -> None:
    assert len({row.entity for row in SECRETS}) > 60


def _span(row: Detector, text: str) -> str:
    """The part of a positive that is the value; the rest is what it needs around it."""
    folded = fold(text)
    places = range(len(folded.view))
    found = [(at, row.exact.match(folded.view, at, at + row.cap)) for at in places]
    hit = next(hit for at, match in found if match and (hit := row.hit(folded.view, at, match)))
    offsets = Offsets(folded.gaps)
    return text[offsets.start(hit.start) : offsets.end(hit.end)]


@pytest.mark.parametrize(("row", "value"), POSITIVES)
def test_a_true_value_is_found_wherever_it_stands(row: Detector, value: str) -> None:
    for plan in (SINGLE[row.entity], PLANS[Action.REDACT]):
        for place in PLACES:
            text = place.replace("{}", value)
            out = rewrite(plan, text)
            assert _span(row, value) not in out, text
            assert plan is not SINGLE[row.entity] or f"[{row.entity}]" in out, text


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
        ("b\u043eb@ex\u0430mple.\u0441\u03bfm", "[EMAIL]"),
        ("\u0410KIAIOSF\u039fDNN7EXAMPLE", "[AWS_KEY]"),
        ("\u0455k-proj-Ab1Cd2Ef3Gh4Ij5Kl6Mn7\u041ep8_Qr9-St0", "[OPENAI_KEY]"),
        ("\u0438\u043c\u044f@\u043f\u0440\u0438\u043c\u0435\u0440.\u0440\u0444", "[EMAIL]"),
        (
            "\u043e\u043d\u043e \u0441\u0442\u043e\u0438\u0442 \u0442\u0430\u043a",
            "\u043e\u043d\u043e \u0441\u0442\u043e\u0438\u0442 \u0442\u0430\u043a",
        ),
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
        address = ipaddress.IPv4Address(text)
        nobodys = address in ipaddress.ip_network("0.0.0.0/8") or address.is_loopback
        want = text if nobodys or text.startswith(("255.255.", "255.0.0.0")) else "[IP_ADDRESS]"
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
        assert _span(row, value) not in out


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


def test_an_address_that_is_spelt_out_is_found_and_prose_is_not() -> None:
    text = "bob [at] example [dot] com, look at example.com"
    for chunks in ([text], list(text)):
        assert run(PLANS[Action.REDACT], chunks)[0] == "[EMAIL_SPELT_OUT], look at example.com"


def test_a_plan_that_names_the_unknown_is_refused() -> None:
    with pytest.raises(ValueError, match="no detector for SHOE_SIZE"):
        TextRewriter(FilterPlan({"SHOE_SIZE": Action.REDACT, "EMAIL": Action.REDACT}))


def test_a_plan_is_compiled_once() -> None:
    one, two = FilterPlan({"EMAIL": Action.REDACT}), FilterPlan({"EMAIL": Action.BLOCK})
    assert scanner_for(one) is scanner_for(two) is scanner_for(one)
    assert scanner_for(FilterPlan({})) is None
