"""A faulty document is refused with every problem it has, each at its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.errors import PolicyError
from tidegate.policy import Policy, load_policy, parse_policy
from tidegate.policy.document import MAX_BYTES
from tidegate.policy.validate import MAX_PROBLEMS

from tests.policy.cases import cases, valid

FULL = valid("every key")


def problems(text: str, file: str = "<policy>") -> list[str]:
    with pytest.raises(PolicyError) as caught:
        parse_policy(text, file=file)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("case", cases("policy_errors.yaml"), ids=lambda case: str(case["name"]))
def test_every_problem_is_named(case: dict[str, Any]) -> None:
    wanted = [f"p:{line}" for line in case["want"].splitlines()]
    assert problems(case["document"], file="p") == wanted


def test_lines_are_those_of_the_file_whatever_the_layout() -> None:
    assert problems("# a\n\n\nversion: 1\n\n# b\ntiers:\n\n  free:\n    # c\n    weight:\n\n      0\n") == [
        "<policy>:13: tiers.free.weight: must be at least 1, not 0"
    ]


def test_a_large_document_is_refused_before_it_is_read() -> None:
    assert problems("#" * (MAX_BYTES + 1)) == ["<policy>:1: (document): is larger than 4 MiB"]


def test_a_flood_of_problems_is_cut_short() -> None:
    found = problems("version: 1\n" + "".join(f"x{number}: 1\n" for number in range(5 * MAX_PROBLEMS)))
    assert len(found) == MAX_PROBLEMS


def test_a_billion_laughs_cost_nothing() -> None:
    text = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(20)
    )
    assert "anchors (&a) are not accepted" in problems(text)[0]


def test_one_bad_value_hides_nothing_of_its_neighbours() -> None:
    text = FULL.replace("owner: acme", "owner: 7").replace("[cards, secrets]", "[crads]").replace("limit: 100,", "")
    assert [problem.partition(": ")[2] for problem in problems(text)] == [
        "platform.floor.limits[0].limit: required key is missing",
        "endpoints.chat.owner: must be a string, not 7; quote it if it is one",
        "endpoints.chat.rulesets[0]: unknown ruleset 'crads'; did you mean 'cards'?",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "1: (document): cannot be read: No such file or directory"),
        (b"version: 1\n# \xff\n", "2: (document): is not UTF-8"),
        (b"", "1: (document): the document is empty"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_problem_of_the_policy(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    file = tmp_path / "policy.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(PolicyError) as caught:
        load_policy(file)
    assert str(caught.value) == f"{file}:{message}"


def test_a_folder_is_no_policy(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="cannot be read: Is a directory"):
        load_policy(tmp_path)


def test_a_byte_order_mark_is_no_part_of_the_document(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_bytes(b"\xef\xbb\xbfversion: 1\n")
    assert load_policy(tmp_path / "policy.yaml").version


def refused_or_compiled(text: str) -> None:
    try:
        assert isinstance(parse_policy(text), Policy)
    except PolicyError as error:
        assert error.problems
        assert [p.line for p in error.problems] == sorted(p.line for p in error.problems)
        assert all(1 <= problem.line <= text.count("\n") + 1 for problem in error.problems)


_WORDS = st.sampled_from(
    [
        "version",
        "platform",
        "identity",
        "tiers",
        "tenants",
        "acme",
        "free",
        "grants",
        "role",
        "endpoints",
        "chat",
        "owner",
        "match",
        "hosts",
        "path",
        "methods",
        "limits",
        "name",
        "algorithm",
        "sliding_window",
        "quota",
        "period",
        "time_zone",
        "token_bucket",
        "per",
        "model",
        "from",
        "allowed",
        "rulesets",
        "detect",
        "act",
        "1",
        "-1",
        "*",
        "null",
        "~",
        "60s",
        "20/60s",
        ".nan",
        "1e9",
        "0x10",
        "[]",
        "{}",
        "&a",
        "*a",
        "!!int",
    ]
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | _WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS | st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.text())
def test_any_text_is_refused_or_compiled(text: str) -> None:
    refused_or_compiled(text)


@settings(deadline=None)
@given(st.characters(categories=["Cs"]))
def test_a_lone_surrogate_is_refused(character: str) -> None:
    refused_or_compiled(f"version: 1\n# {character}")


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["", "  ", "    ", "- ", "  - "]), _WORDS, st.sampled_from([":", ": ", " ", "\n"]))
    )
)
def test_any_almost_policy_is_refused_or_compiled(lines: list[tuple[str, str, str]]) -> None:
    refused_or_compiled("\n".join(f"{indent}{word}{end}" for indent, word, end in lines))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_value_in_any_place_is_refused_or_compiled(data: st.DataObject) -> None:
    import json

    import yaml

    document = yaml.safe_load(FULL)
    place = document
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.integers(0, 5)) == 0:
            break
        place = place[key]
    place[key] = data.draw(_VALUES)
    refused_or_compiled(json.dumps(document, indent=1))


@settings(deadline=None)
@given(
    st.integers(0, len(FULL)), st.integers(0, 40), st.sampled_from(["", "\t", "*", "{", "'", "\n", "- ", "\0", ": "])
)
def test_any_slip_of_the_editor_is_refused_or_compiled(start: int, length: int, instead: str) -> None:
    refused_or_compiled(FULL[:start] + instead + FULL[start + length :])
