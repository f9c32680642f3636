"""Base64 and base16: a value is found in what they stand for, wherever that begins, and nothing is made of noise."""

from __future__ import annotations

import base64
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.filtering.canonical import HASH_DIGITS
from tidegate.filtering.detector import Detector
from tidegate.filtering.detectors import DETECTORS
from tidegate.filtering.rewriter import TextRewriter, rewrite
from tidegate.filtering.ruleset import Action, FilterPlan

from tests.filtering.corpus import KEY, PLANS, PROSE, SINGLE, meaning, run
from tests.filtering.disguises import CODES, SHORTEST, encoded, escaped

PLACES = ["{}", '"{}"', "x={}&y=1", "/files/{}/view", "token:{}.", "a {} b", "see{}", "({})\n{}"]


@pytest.mark.parametrize("row", DETECTORS, ids=[row.name for row in DETECTORS])
def test_a_value_is_found_however_it_is_encoded(row: Detector) -> None:
    for turn, value in enumerate(value for value in row.positives if value.isascii() and len(value) >= SHORTEST):
        for number, kind in enumerate(CODES, turn):
            for text in (value, f"It is {value}, I say.", f'{{"a":"{value}"}}'):
                written = PLACES[number % len(PLACES)].replace("{}", encoded(text, kind))
                out = rewrite(SINGLE[row.entity], written)
                assert f"[{row.entity}]" in out, (text, written)
                assert encoded(text, kind) not in out


@given(
    row=st.sampled_from(DETECTORS),
    kind=st.sampled_from(sorted(CODES)),
    before=st.sampled_from(["", "x", "It is ", "\u00e9\u00e9 ", PROSE]),
    after=st.sampled_from(["", ".", ", and ", "\u00e9", PROSE]),
    data=st.data(),
)
@settings(max_examples=300, deadline=None)
def test_any_cutting_of_what_is_encoded_gives_what_the_whole_gives(
    row: Detector, kind: str, before: str, after: str, data: st.DataObject
) -> None:
    value = data.draw(st.sampled_from(row.positives))
    text = data.draw(st.sampled_from(PLACES)).replace("{}", encoded(before + value + after, kind))
    plan = data.draw(st.sampled_from([SINGLE[row.entity], PLANS[Action.HASH]]))
    whole = run(plan, [text])
    assert run(plan, list(text)) == whole
    for _ in range(5):
        at = data.draw(st.integers(0, len(text)))
        assert run(plan, [text[:at], text[at:]]) == whole
    assert plan is not SINGLE[row.entity] or whole[0] == meaning(plan, text)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        (base64.b64encode(b"bob@example.com").decode(), "[EMAIL]"),
        (f"Basic {base64.b64encode(b'bob@example.com:x').decode()} ok", "Basic [EMAIL]Ong= ok"),
        (
            f"data:text/plain;base64,{base64.b64encode(b'to bob@example.com.').decode()}",
            "data:text/plain;base64,dG8g[EMAIL]Lg==",
        ),
        (base64.b64encode(b"8.8.8.8").decode(), "[IP_ADDRESS]"),
        (base64.b64encode(b"123-45-6789,123-45-6789,123-45-6789").decode(), "[US_SSN][US_SSN][US_SSN]"),
        (b"bob@example.com, ok".hex(), "[EMAIL]2c206f6b"),
        (base64.b64encode(rb'{"a":"bob\u0040example.com"}').decode(), "eyJhIjoi[EMAIL]fQ=="),
        (escaped(base64.b64encode(b"bob@example.com").decode(), ["percent"], 1), "[EMAIL]"),
        ("eyJhbGciOiJub25lIn0.eyJlIjoiYm9iQGV4YW1wbGUuY29tIn0.", "eyJhbGciOiJub25lIn0.eyJlIjoi[EMAIL]In0."),
    ],
)
def test_a_value_goes_with_the_groups_that_it_stands_in(text: str, want: str) -> None:
    plan = FilterPlan(dict.fromkeys(("EMAIL", "IP_ADDRESS", "US_SSN"), Action.REDACT))
    for chunks in ([text], list(text)):
        assert run(plan, chunks)[0] == want


@pytest.mark.parametrize("before", ["", "a", "  "])
def test_a_second_value_in_the_group_in_which_one_ends_is_waited_for_to_its_last_padded_group(before: str) -> None:
    secret = "sk-ant-sid01-4fK9aQ2xZ7mB0cW5tR8uJ3dY6vE1nHpGsLkX"
    text = f"{before}the datadog access token is 4f9a2c7b0d5e81634f9a2c7b0d5e8163 {secret}"
    for more in ("", "a", "aa"):
        written = encoded(text + more, "base64")
        whole = run(PLANS[Action.HASH], [written])
        assert run(PLANS[Action.HASH], list(written)) == whole
        assert whole[0] == meaning(PLANS[Action.HASH], written)
        assert whole[0].endswith("]")


@pytest.mark.parametrize("text", ["fe80::1 X1234567L", "192.168.100.1 X1234567L", "+1 415 555 0132 X1234567L"])
def test_values_that_meet_in_a_group_are_replaced_together_by_what_stands_for_the_first(text: str) -> None:
    first = text.removesuffix(" X1234567L")
    for before in ("", " ", "  "):
        out = rewrite(PLANS[Action.HASH], encoded(before + text, "base64"), key=KEY)
        assert rewrite(PLANS[Action.HASH], first, key=KEY) in out


def test_a_value_that_begins_in_the_group_in_which_another_ends_is_not_cut_short() -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMIIEowIBAAKCAQEA7bq0q1yQ\nZk3vB8h1Yw==\n-----END PRIVATE KEY-----"
    for size in range(40, 45):
        text = base64.b64encode(f"{{'a': '{key}dp.st.prd.{'4fK9' * 11}".encode()[: 6 + len(key) + 11 + size]).decode()
        whole = run(PLANS[Action.REDACT], [text])
        assert run(PLANS[Action.REDACT], list(text)) == whole


def test_a_value_is_compared_as_it_reads() -> None:
    for action in (Action.HASH, Action.MASK, Action.PSEUDONYMIZE):
        plan = FilterPlan(dict.fromkeys(("EMAIL", "IP_ADDRESS", "PHONE"), action), keys=PLANS[action].keys)
        for value in ("bob@example.com", "192.168.100.1", "+1 415 555 0132"):
            want = rewrite(plan, value, key=KEY)
            assert value not in want
            for kind in ("base64", "base16"):
                assert rewrite(plan, encoded(value, kind), key=KEY) == want
    assert (
        len(rewrite(PLANS[Action.HASH], encoded("bob@example.com", "base64"), key=KEY)) == len("[EMAIL:]") + HASH_DIGITS
    )


def test_a_long_encoded_text_is_read_to_its_end_and_hardly_held() -> None:
    document = PROSE * 40 + "from bob@example.com\n" + PROSE * 40
    for kind in CODES:
        text = encoded(document, kind)
        rewriter = TextRewriter(PLANS[Action.REDACT])
        out, most = [], 0
        for at in range(0, len(text), 16):
            out.append(rewriter.feed(text[at : at + 16]))
            most = max(most, rewriter.held)
        whole = "".join([*out, rewriter.finish()])
        assert whole == rewrite(PLANS[Action.REDACT], text)
        assert whole.count("[EMAIL]") == 1
        assert len(text) - 40 < len(whole) < len(text)
        assert most < 1024 < len(text) / 20


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_none(seed: int) -> None:
    noise = Random(seed).randbytes(30_000)
    for text in (base64.b64encode(noise).decode(), base64.urlsafe_b64encode(noise).decode(), noise.hex()):
        plan = FilterPlan(dict.fromkeys(("EMAIL", "PHONE", "CREDIT_CARD", "US_SSN", "IP_ADDRESS"), Action.REDACT))
        out, findings, _ = run(plan, [text])
        assert sum(findings.values()) <= 1
        assert run(plan, [text[at : at + 1000] for at in range(0, len(text), 1000)])[0] == out
