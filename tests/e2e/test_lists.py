"""Deny and allow lists through the real Envoy: in JSON and in streams, and changed while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.keys import POLICY
from tests.e2e.stack import Gate, running_gate, until
from tests.e2e.upstream import Upstream, chat, chunked, delta, finish, json_answer

LISTED = (
    POLICY.replace(
        "rulesets:\n  secrets:",
        "deny_lists: {projects: {file: projects.txt}}\n"
        "allow_lists: {desk: {terms: [support@example.com]}}\n"
        "rulesets:\n  brand: [{detect: [LIST_PROJECTS], act: redact}, {detect: [LIST_RIVALS], act: block}]\n  secrets:",
    )
    .replace(
        'acme: {grants: [{role: analyst, endpoints: "*"}]}',
        'acme: {grants: [{role: analyst, endpoints: "*"}], deny_lists: {rivals: {terms: [Initech]}}}',
    )
    .replace("restricted: {rulesets: [pii]}", "restricted: {rulesets: [pii, brand]}")
)


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[tuple[Gate, Path]]:
    directory = tmp_path_factory.mktemp("lists")
    (directory / "projects.txt").write_text("# secret\nBlue Bird\n")
    with running_gate(directory, upstream, policy=LISTED) as gate:
        yield gate, directory


def said(gate: Gate, text: str) -> str:
    answer = gate.get(json_answer(chat(text)))
    assert answer.status_code == 200
    return str(answer.json()["choices"][0]["message"]["content"])


def test_listed_terms_are_redacted_in_every_disguise_and_allowed_values_stay(listed: tuple[Gate, Path]) -> None:
    gate, _ = listed
    answer = gate.get(json_answer(chat("Ｂｌｕｅ bi\u200brd ships; ask support@example.com or bob@example.com")))
    left = answer.json()["choices"][0]["message"]["content"]
    assert left == "[LIST_PROJECTS] ships; ask support@example.com or [EMAIL]"
    assert "bird" not in gate.told(answer).lower()
    assert gate.metric("tidegate_findings_total", entity="LIST_PROJECTS", action="redact") >= 1


def test_a_term_that_a_stream_cuts_does_not_leave(listed: tuple[Gate, Path]) -> None:
    gate, _ = listed
    pieces = [delta("the Blu"), delta("e "), delta("bi"), delta("rd fl"), delta("ies"), *finish()]
    answer = gate.get(chunked(pieces))
    assert "[LIST_PROJECTS]" in answer.text
    assert "Blu" not in answer.text
    assert "bi" not in answer.text


def test_a_term_of_the_owners_list_blocks(listed: tuple[Gate, Path]) -> None:
    gate, _ = listed
    assert gate.get(json_answer(chat("better than INITECH"))).status_code == 403


def test_a_list_file_that_changes_is_in_force_and_a_bad_one_is_not(listed: tuple[Gate, Path]) -> None:
    gate, directory = listed
    (directory / "projects.txt").write_text("Red Kite\n")
    until(lambda: said(gate, "red kite") == "[LIST_PROJECTS]", what="the new list in force")
    assert said(gate, "blue bird") == "blue bird"
    (directory / "projects.txt").write_bytes(b"\xff\n")
    until(lambda: "projects.txt' is not UTF-8" in (directory / "worker-0.log").read_text(), what="the complaint")
    assert said(gate, "red kite") == "[LIST_PROJECTS]"
