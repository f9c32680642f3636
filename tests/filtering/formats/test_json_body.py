"""JSON bodies: what is rewritten, what survives, what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.errors import BodyTooLarge, MalformedBody
from tidegate.filtering.rewriter import rewrite

from tests.filtering.formats.bodies import BLOCK, PLAN, body, cut, drive
from tests.filtering.formats.texts import CARD, EMAILS, PLACES, PROSE, TEXTS, VALUES, strings, write


def rewritten(text: str, **options: Any) -> str:
    out, failure = drive(body("json", **options), [text.encode()])
    assert not failure
    return out.decode()


def expected(value: Any) -> Any:
    """What a document must be once rewritten, said as simply as it can be."""
    match value:
        case bool() | None:
            return value
        case str():
            return rewrite(PLAN, value, key=b"k")
        case int():
            new = rewrite(PLAN, str(abs(value)), key=b"k")
            return value if new == str(abs(value)) else new
        case list():
            return [expected(item) for item in value]
        case dict():
            return {expected(name): expected(item) for name, item in value.items()}


def is_prose(value: Any) -> bool:
    return all(text.lstrip(" \t\r\n")[:1] not in ("{", "[") for text in strings(value))


@given(VALUES.filter(is_prose), st.integers(0, 1 << 16), PLACES)
def test_a_document_becomes_what_its_strings_become(value: Any, seed: int, places: list[int]) -> None:
    data = write(value, seed).encode()
    rewriter = body("json")
    out, failure = drive(rewriter, cut(data, places))
    assert not failure
    assert json.loads(out) == expected(value)
    receipt = rewriter.coverage()
    assert receipt.scanned_bytes + receipt.skipped_bytes == len(data)
    if not receipt.findings and "\u200b" not in data.decode():
        assert out == data


@given(VALUES, st.integers(0, 1 << 16))
def test_no_value_is_left_in_any_reading_of_the_document(value: Any, seed: int) -> None:
    inner = write([value, EMAILS[0]], seed)
    document = [f"x {EMAILS[1]}", inner, {EMAILS[2]: [inner]}, int(CARD)]
    out = json.loads(rewritten(write(document, seed)))
    for text in strings(out):
        assert not any(email in text for email in EMAILS)
    assert out[-1] == "[CREDIT_CARD]"


@given(VALUES, st.integers(0, 1 << 16))
def test_a_document_in_a_string_becomes_what_the_document_becomes(value: Any, seed: int) -> None:
    inner = write([value], seed)
    out = json.loads(rewritten(json.dumps({"arguments": inner})))
    assert json.loads(out["arguments"]) == json.loads(rewritten(inner)) or nested(value)


def nested(value: Any) -> bool:
    """Documents in strings of a document: one level less is left to them inside a string."""
    return not is_prose(value)


@given(TEXTS)
def test_a_rewritten_document_is_a_document(text: str) -> None:
    json.loads(rewritten(json.dumps({"a": text, text: [text]})))


@given(PROSE)
def test_prose_is_rewritten_as_text(text: str) -> None:
    assert json.loads(rewritten(json.dumps(text))) == rewrite(PLAN, text, key=b"k")


@given(st.binary(max_size=40) | st.text('{}[]",:\\u0dt1e-. \n', max_size=24).map(str.encode), PLACES)
def test_what_json_refuses_is_malformed(data: bytes, places: list[int]) -> None:
    out, failure = drive(body("json"), cut(data, places))
    try:
        json.loads(data.decode(), parse_constant=lambda _: 1 / 0)
    except (ValueError, ZeroDivisionError):
        assert (out, failure) == (b"", "malformed")
    else:
        assert not failure
        json.loads(out)


def test_the_cap_holds_as_soon_as_it_is_passed() -> None:
    rewriter = body("json", max_bytes=10)
    assert rewriter.feed(b'"' + b"a" * 9) == b""
    with pytest.raises(BodyTooLarge):
        rewriter.feed(b'"')
    assert rewriter.feed(b"more") == rewriter.finish() == b""
    assert rewriter.coverage().failure == "too_large"


@pytest.mark.parametrize("depth", [900, 5000, 200_000])
def test_depth_is_limited_without_a_crash(depth: int) -> None:
    for data in (b"[" * depth + b"]" * depth, b'{"a":' * depth + b'"\\ud800"' + b"}" * depth):
        out, failure = drive(body("json", max_bytes=1 << 24), [data])
        assert (out, failure) in ((data, ""), (b"", "malformed"))


def test_deep_json_in_a_string_is_read_without_recursion() -> None:
    inner = "[" * 20_000 + json.dumps(EMAILS[0]) + "]" * 20_000
    assert EMAILS[0] not in rewritten(json.dumps(inner))


def test_a_block_withholds_the_document_and_says_where() -> None:
    rewriter = body("json", BLOCK)
    data = json.dumps({"choices": [{"x": 1}, {"message": {"content": "bob@example.com"}}], "secret name": 1})
    assert rewriter.feed(data.encode()) + rewriter.finish() == b""
    assert rewriter.blocked is not None
    assert (rewriter.blocked.entity, rewriter.blocked.where) == ("EMAIL", "choices[1].message.content")
    assert rewriter.finish() == rewriter.abort("blocked", "x") == b""


def test_the_receipt_is_the_same_whether_or_not_a_value_that_repeats_the_text_is_dropped() -> None:
    message = {"role": "assistant", "content": f"Write to {EMAILS[0]}.", "n": [1, 2], "logprobs": None}
    told = {"x": "y", "logprobs": {"tokens": ["Write", "to"]}}
    whole, dropped = body("json"), body("json")
    for rewriter, document in ((whole, [message]), (dropped, [message, told])):
        rewriter.feed(json.dumps(document).encode())
        rewriter.finish()
    less, more = whole.coverage(), dropped.coverage()
    keys = len('"x""logprobs"')
    assert more.scanned_fields == less.scanned_fields + 1
    assert more.scanned_bytes == less.scanned_bytes + len('"y"') + keys
    assert more.skipped == {**less.skipped, "dropped_logprobs": 1}
    assert more.findings == less.findings == {("EMAIL", "redact"): 1}


def test_where_leaves_out_names_that_a_model_may_have_written() -> None:
    rewriter = body("json", BLOCK)
    rewriter.feed(b'{"Ada Lovelace": {"content": "bob@example.com"}}')
    assert rewriter.finish() == b""
    assert rewriter.blocked is not None
    assert rewriter.blocked.where == "*.content"


def test_a_failure_is_raised_and_nothing_leaves() -> None:
    rewriter = body("json")
    assert rewriter.feed(b'{"a": "bob@example.com"') == b""
    with pytest.raises(MalformedBody):
        rewriter.finish()
    assert rewriter.finish() == b""
    receipt = rewriter.coverage()
    assert (receipt.failure, receipt.scanned_bytes, receipt.skipped_bytes) == ("malformed", 0, 23)


def test_embeddings_keep_their_numbers() -> None:
    data = json.dumps({"data": [{"embedding": [-0.006929283495992422, 4.111111111111111e-15, 12.0] * 500}]})
    rewriter = body("json")
    assert drive(rewriter, [data.encode()]) == (data.encode(), "")
    assert rewriter.coverage().skipped == {"number": 1500}


def test_numbers_beyond_reason_are_left_alone() -> None:
    for literal in (
        "1e99999999999999999999999",
        "1.0e-99999999999999999999999",
        "-" + "9" * 5000,
        "0." + "0" * 5000 + "e5",
    ):
        assert rewritten(f"[{literal}]") == f"[{literal}]"
        assert rewritten(json.dumps(f"[{literal}]")) == json.dumps(f"[{literal}]")
