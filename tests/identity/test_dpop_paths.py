"""The address that a proof names is compared without dot segments (RFC 3986 section 5.2.4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.identity.dpop import _without_dots


@pytest.mark.parametrize(
    ("path", "plain"),
    [
        ("/a/b/c/./../../g", "/a/g"),
        ("/..", "/"),
        ("/a/.", "/a/"),
        ("/a/b/..", "/a/"),
        ("/a.b/..c", "/a.b/..c"),
        ("", ""),
    ],
)
def test_dots_go_as_in_the_rfc(path: str, plain: str) -> None:
    assert _without_dots(path) == plain


@given(st.lists(st.sampled_from(["a", "b", ".", "..", "..."]), min_size=1, max_size=8))
def test_without_dots_nothing_is_left_to_take_out(steps: list[str]) -> None:
    plain = _without_dots("/" + "/".join(steps))
    assert not {".", ".."} & set(plain.split("/"))
    assert _without_dots(plain) == plain
