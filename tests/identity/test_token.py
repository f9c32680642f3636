"""Strict base64url: one writing for each string of bytes, and nothing else is read."""

from __future__ import annotations

import base64
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tidegate.identity.token import Token, TokenRejected, decode, parse

from tests.identity import forge

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def plainly(text: str) -> bytes | None:
    """RFC 7515 section 2, word for word."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", text, re.ASCII):
        return None
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return None
    return raw if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() == text else None


@given(st.text(alphabet=ALPHABET + "+/= \n\0é\ud800.", max_size=12) | st.text(alphabet=ALPHABET, max_size=40))
@example("")
@example("A")
@example("AA==")
@example("AB")
@example("+/+/")
def test_what_is_read_is_what_the_rfc_writes(text: str) -> None:
    try:
        read = decode(text)
    except TokenRejected as rejected:
        assert rejected.reason == "base64"
        read = None
    assert read == plainly(text)


@pytest.mark.parametrize("last", ALPHABET)
@pytest.mark.parametrize("before", ["A", "AA", "AAA", "AAAA"])
def test_every_last_character(before: str, last: str) -> None:
    text = before + last
    if plainly(text) is None:
        with pytest.raises(TokenRejected):
            decode(text)
    else:
        assert decode(text) == plainly(text)


def test_a_token_in_a_record_shows_nothing_that_is_secret() -> None:
    token = parse(forge.token())
    assert isinstance(token, Token)
    assert repr(token) == "Token(alg='RS256', kid='rsa', typ='jwt')"
    assert f"{token}" == repr(token)


def test_a_header_that_was_read_before_is_read_the_same_and_a_long_one_is_not_remembered() -> None:
    from tidegate.identity.token import _known_header

    before = _known_header.cache_info().currsize
    header = {"alg": "RS256", "kid": "rsa", "x": "y" * 2000}
    assert parse(forge.token(header=header)).kid == "rsa"
    assert _known_header.cache_info().currsize == before
    for _ in range(2):
        with pytest.raises(TokenRejected, match="crit"):
            parse(forge.token(header={"alg": "RS256", "crit": []}))
