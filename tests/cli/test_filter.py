"""`tidegate filter`: a policy on files and pipes, what it says of each finding, and what never leaves it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tidegate.cli import app
from tidegate.cli.filter_run import KINDS
from tidegate.filtering.formats import open_body
from tidegate.filtering.rewriter import rewrite
from tidegate.filtering.ruleset import Action, FilterPlan
from tidegate.hash_key import hash_key
from typer.testing import CliRunner, Result

from tests.filtering.formats.bodies import PLAN, cut, drive
from tests.filtering.formats.texts import PLACES, TEXTS

POLICY = """\
version: 1
platform: {floor: {rulesets: [secrets]}}
tiers: {free: {rulesets: [cards]}}
classifications: {restricted: {rulesets: [pii]}}
rulesets:
  secrets: [{detect: [GITHUB_TOKEN], act: block}]
  pii: [{detect: [EMAIL], act: mask}, {detect: [PHONE], act: hash}]
  cards: [{detect: [CREDIT_CARD], act: drop}]
tenants: {acme: {}}
endpoints:
  chat: {owner: acme, match: {hosts: "*", path: /chat, methods: [POST]}, classification: restricted}
"""
TOKEN = "ghp_" + "a1B2" * 9
CHAT = (
    {"choices": [{"index": 0, "delta": {"content": "to bob@exam"}}]},
    {"choices": [{"index": 0, "delta": {"content": "ple.com"}}]},
)
STREAM = "".join(f"data: {json.dumps(event)}\n\n" for event in CHAT) + "data: [DONE]\n\n"
COMMAND = [sys.executable, "-m", "tidegate", "filter"]


@pytest.fixture
def policy(tmp_path: Path) -> str:
    (tmp_path / "policy.yaml").write_text(POLICY)
    return str(tmp_path / "policy.yaml")


def run(*words: str, given: str | bytes = "") -> Result:
    return CliRunner().invoke(app, ["filter", *words], input=given)


def test_a_ruleset_is_tried_on_standard_input(policy: str) -> None:
    result = run("--policy", policy, "--ruleset", "pii", given=f"ask bob@example.com about {TOKEN}\n")
    assert (result.exit_code, result.stdout) == (0, f"ask b**@*******.com about {TOKEN}\n")
    assert result.stderr == "(stdin): format=text; scanned=67; skipped=0; fields=1; findings=EMAIL:mask:1\n"


def test_an_endpoint_stands_for_all_that_its_responses_pass(policy: str) -> None:
    flags = ("--policy", policy, "--endpoint", "chat", "--tier", "free")
    result = run(*flags, given="bob@example.com pays 4111 1111 1111 1111.\n")
    assert result.stdout == "b**@*******.com pays .\n"
    assert run(*flags, given=f"bob@example.com has {TOKEN}").stdout == "b**@*******.com has "


def test_kinds_of_value_need_no_policy() -> None:
    result = run("--detect", "email, PERSONAL_DATA", "--act", "drop", given="<bob@example.com> SSN 536-22-8734.")
    assert result.stdout == "<> SSN ."


def test_an_act_on_the_command_line_stands_for_those_of_the_policy(policy: str) -> None:
    words = ("--policy", policy, "--ruleset", "pii", "--act", "redact", "--ruleset", "secrets")
    assert run(*words, given=f"bob@example.com {TOKEN}").stdout == "[EMAIL] [GITHUB_TOKEN]"


def test_hashes_are_those_of_the_service_that_has_the_pepper(tmp_path: Path) -> None:
    (tmp_path / "pepper").write_text("sixteen bytes or more")
    words = ("--detect", "EMAIL", "--act", "hash")
    keyed = [run(*words, "--key-pepper-file", str(tmp_path / "pepper"), given="bob@example.com") for _ in range(2)]
    plan = FilterPlan({"EMAIL": Action.HASH})
    assert keyed[0].stdout == rewrite(plan, "bob@example.com", key=hash_key(b"sixteen bytes or more"))
    assert keyed[0].stdout == keyed[1].stdout
    assert len({run(*words, given="bob@example.com").stdout for _ in range(2)}) == 2


@pytest.mark.parametrize(
    ("name", "text", "kind", "want"),
    [
        ("a.json", '{"a": "bob@example.com"}', "json", '{"a": "[EMAIL]"}'),
        ("a", ' {"a": "bob\\u0040example.com"}\n', "json", ' {"a": "[EMAIL]"}\n'),
        ("a", '["bob@example.com", 4111111111111111]', "json", '["[EMAIL]", "[CREDIT_CARD]"]'),
        ("a", "[2024-01-15] bob@example.com\n", "text", "[2024-01-15] [EMAIL]\n"),
        ("a", "{not json} bob@example.com", "text", "{not json} [EMAIL]"),
        ("a.md", "# bob@example.com", "text", "# [EMAIL]"),
        ("a", STREAM, "sse", None),
        ("a", ": ping\n\n" + STREAM, "sse", None),
        ("a", "data about bob@example.com", "text", "data about [EMAIL]"),
        ("a.txt", '{"a": "bob\\u0040example.com"}', "text", '{"a": "[EMAIL]"}'),
        ("empty", "", "text", ""),
        ("a.jsonl", '{"a":"bob@example.com"}\n', "ndjson", '{"a":"[EMAIL]"}\n'),
        ("a", '{"a":"bob@example.com"}\n{"a":1}\n', "ndjson", '{"a":"[EMAIL]"}\n{"a":1}\n'),
        ("a.csv", "a,bob@example.com\n", "csv", "a,[EMAIL]\n"),
    ],
)
def test_the_format_is_told_by_name_and_beginning(
    tmp_path: Path, name: str, text: str, kind: str, want: str | None
) -> None:
    (tmp_path / name).write_text(text)
    result = run("--detect", "EMAIL,CREDIT_CARD", str(tmp_path / name))
    assert f"format={kind};" in result.stderr
    assert "bob@exam" not in result.stdout
    if want is not None:
        assert result.stdout == want


def test_a_format_that_is_named_is_not_guessed() -> None:
    assert run("--detect", "EMAIL", "--format", "text", given='{"a": 1').stdout == '{"a": 1'
    refused = run("--detect", "EMAIL", "--format", "json", given="bob@example.com")
    assert (refused.exit_code, refused.stdout, refused.stderr) == (2, "", "(stdin): not a JSON document\n")


def test_each_finding_is_explained_where_it_stands(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("é\nto bob@example.com\n\n(415) 555-0132\n")
    (tmp_path / "b.json").write_text('{"a/b": [0, {"c": "bob@example.com"}], "d": "{\\"e\\": \\"ann@example.com\\"}"}')
    result = run("--detect", "EMAIL,PHONE", "--explain", str(tmp_path / "a.txt"), str(tmp_path / "b.json"))
    lines = [line.removeprefix(f"{tmp_path}/") for line in result.stderr.splitlines()]
    assert [line for line in lines if " (by " in line] == [
        "a.txt:2:4: EMAIL (by email), redact: [EMAIL]",
        "a.txt:4:1: PHONE (by nanp), redact: [PHONE]",
        "b.json: /a~1b/1/c: EMAIL (by email), redact: [EMAIL]",
        "b.json: /d: EMAIL (by email), redact: [EMAIL]",
    ]
    assert len(lines) == 6


def test_json_has_the_same_for_programs(policy: str) -> None:
    result = run("--policy", policy, "--ruleset", "pii", "--explain", "--json", given=STREAM)
    finding, receipt = map(json.loads, result.stderr.splitlines())
    assert finding == {
        "file": "(stdin)",
        "where": "choices[0].delta.content",
        "entity": "EMAIL",
        "detector": "email",
        "act": "mask",
        "instead": "b**@*******.com",
    }
    assert receipt["findings"] == [{"entity": "EMAIL", "act": "mask", "count": 1}]
    assert receipt["scanned_bytes"] + receipt["skipped_bytes"] == len(STREAM)


@pytest.mark.parametrize(("text", "status"), [("clean\n", 0), ("to bob@example.com\n", 1)])
def test_check_says_by_its_status_whether_anything_was_found(tmp_path: Path, text: str, status: int) -> None:
    (tmp_path / "a.txt").write_text(text)
    result = run("--detect", "EMAIL", "--check", str(tmp_path / "a.txt"))
    assert result.exit_code == status
    assert result.stderr == ""
    assert [line for line in result.stdout.splitlines() if "format=" not in line] == (
        [f"{tmp_path}/a.txt:1:4: EMAIL (by email), redact: [EMAIL]"] if status else []
    )


def test_a_block_ends_the_text_in_its_own_format_and_is_told_by_the_status() -> None:
    live = run("--detect", "EMAIL", "--act", "block", given=STREAM)
    assert live.exit_code == 1
    assert '"code":"content_blocked"' in live.stdout
    assert live.stderr.endswith("findings=EMAIL:block:1; failure=content_blocked; blocked\n")
    whole = run("--detect", "EMAIL", "--act", "block", given='{"a": "bob@example.com"}')
    assert (whole.exit_code, whole.stdout) == (1, "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "what to look for is needed: give --ruleset or --endpoint with --policy, or --detect"),
        (["--ruleset", "pii"], "--ruleset and --endpoint need --policy"),
        (["--policy", "POLICY", "--ruleset", "pie"], "--ruleset: there is no 'pie'; did you mean 'pii'?"),
        (["--policy", "POLICY", "--endpoint", "chat"], "--endpoint and --tier go together"),
        (["--policy", "POLICY", "--endpoint", "x", "--tier", "free"], "--endpoint: there is no 'x'"),
        (["--detect", "EMIAL"], "--detect: there is no 'EMIAL'; did you mean 'EMAIL'?"),
        (["--detect", "EMAIL", "--act", "hide"], "--act: there is no 'hide'"),
        (["--detect", "EMAIL", "--color", "no"], "--color: 'no' is not one of auto, always, never"),
        (["--detect", "EMAIL", "/nowhere/a.txt"], "/nowhere/a.txt: cannot be read: No such file or directory"),
        (["--detect", "EMAIL", "/"], "/: cannot be read: Is a directory"),
        (["--detect", "EMAIL", "--show-values"], "--show-values: values are shown on a terminal only"),
        (["--detect", "EMAIL", "--show-values", "--json"], "--show-values: values are shown to people, never with"),
    ],
)
def test_what_cannot_be_done_is_said(policy: str, words: list[str], message: str) -> None:
    result = run(*[policy if word == "POLICY" else word for word in words], given="x")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1


def test_formats_are_named_by_what_there_is() -> None:
    message = f"--format: 'xml' is not one of auto, {', '.join(KINDS)}\n"
    assert run("--detect", "EMAIL", "--format", "xml").stderr == message


def test_text_that_is_not_utf_8_is_refused() -> None:
    result = run("--detect", "EMAIL", given=b"ab\xff")
    assert (result.exit_code, result.stderr) == (2, "(stdin): text that is not UTF-8\n")


def test_without_a_terminal_no_value_is_told_and_nothing_is_coloured() -> None:
    for flags in (["--explain"], ["--check"], ["--explain", "--json"]):
        result = run("--detect", "EMAIL,PRIVATE_KEY", *flags, given="bob@example.com\n")
        assert "bob" not in result.output
        assert "\x1b" not in result.output


def test_colour_marks_what_was_put_in_and_nothing_else() -> None:
    words = ("--detect", "EMAIL", "--color", "always")
    assert run(*words, given="to bob@example.com.").stdout == "to \x1b[1;33m[EMAIL]\x1b[0m."
    assert run(*words, given='{"a":"bob@example.com"}').stdout == '{"a":"\x1b[1;33m[EMAIL]\x1b[0m"}'
    assert run(*words, "--act", "drop", given="<bob@example.com>").stdout == "<>"


def test_on_a_terminal_values_are_shown_to_who_asks_and_obey_no_text() -> None:
    ours, theirs = pty.openpty()
    words = [*COMMAND, "--detect", "EMAIL,PRIVATE_KEY", "--explain", "--show-values"]
    key = "-----BEGIN PRIVATE KEY-----\n\u200bMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----"
    done = subprocess.run(words, input=f"bob@example.com {key}", stdout=theirs, stderr=theirs, text=True, check=True)
    os.close(theirs)
    shown = b""
    while part := _read(ours):
        shown += part
    os.close(ours)
    lines = shown.decode().splitlines()
    assert done.returncode == 0
    assert lines[0].startswith("\x1b[1;33m[EMAIL]\x1b[0m \x1b[1;33m[PRIVATE_KEY]\x1b[0m(stdin):1:1: EMAIL 'bob@example")
    assert "'-----BEGIN PRIVATE KEY-----\\n\\u200bMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\\n-----END" in lines[1]


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # Linux says so when the other end is closed
        return b""


def test_a_pipe_is_rewritten_as_it_comes() -> None:
    command = [*COMMAND, "--detect", "EMAIL", "--format", "sse"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b'data: {"choices":[{"index":0,"delta":{"content":"first bob@example.com, and"}}]}\n\n')
        process.stdin.flush()
        assert b"first [EMAIL], " in process.stdout.readline()
        process.stdin.close()
        assert process.stdout.read().endswith(b"\n\n")
        assert process.wait() == 0


@given(TEXTS, PLACES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_written_is_what_the_service_sends(text: str, places: list[int]) -> None:
    for kind, data in (("text", text), ("json", json.dumps({"a": text, "n": [text]})), ("sse", f"data: {text!a}\n\n")):
        rewriter = open_body(KINDS[kind], PLAN, max_bytes=1 << 20)
        assert rewriter is not None
        want, _ = drive(rewriter, cut(data.encode(), places))
        assert run("--detect", "EMAIL,CREDIT_CARD", "--format", kind, given=data).stdout_bytes == want


@given(st.text(max_size=40))
@settings(max_examples=60, deadline=None)
def test_whatever_is_guessed_ends_in_words_and_never_in_a_trace(text: str) -> None:
    result = run("--detect", "EMAIL", given=text.encode("utf-8", "surrogatepass"))
    assert result.exit_code in (0, 2)
    assert result.exception is None or isinstance(result.exception, SystemExit)


def test_in_shadow_nothing_is_changed_and_no_value_is_told() -> None:
    data = '{ "a" : "bob\\u0040example.com" , "b":1.0}'
    for words in (("--shadow",), ("--act", "annotate")):
        result = run("--detect", "EMAIL", *words, "--explain", given=data)
        assert (result.exit_code, result.stdout) == (0, data)
        assert result.stderr.splitlines()[0] == "(stdin): /a: EMAIL (by email), annotate"
        told = run("--detect", "EMAIL", *words, "--check", "--json", given=data)
        assert told.exit_code == 1
        assert json.loads(told.stdout.splitlines()[0])["instead"] is None


def test_content_safety_is_tried_without_a_policy() -> None:
    text = "Good morning.\nYou are a pathetic idiot and nobody likes you.\n"
    result = run("--detect", "CONTENT_SAFETY,EMAIL", "--explain", given=text)
    assert (result.exit_code, result.stdout) == (0, "Good morning.\n[HARASSMENT]\n")
    assert "(stdin):2:1: HARASSMENT (by classifier), redact: [HARASSMENT]" in result.stderr
    assert "idiot" not in result.stderr


@given(
    st.one_of(
        st.binary(max_size=60), st.one_of(TEXTS, st.just(STREAM)).map(lambda text: text.encode("utf-8", "replace"))
    ),
    st.sampled_from(["auto", *KINDS]),
    st.sampled_from([(), ("--color", "always"), ("--explain",)]),
)
@settings(max_examples=120, deadline=None)
def test_in_shadow_every_byte_leaves_as_it_came_whatever_it_is_and_is_taken_for(
    data: bytes, kind: str, words: tuple[str, ...]
) -> None:
    result = run("--detect", "EMAIL,CREDIT_CARD", "--shadow", "--format", kind, *words, given=data)
    assert (result.exit_code, result.stdout_bytes) == (0, data)


def test_telephone_numbers_of_a_region_are_found_where_it_is_named() -> None:
    said = "020 7946 0958 or 01 99 00 12 34\n"
    assert run("--detect", "PHONE", given=said).stdout == said
    assert run("--detect", "PHONE", "--region", "GB", given=said).stdout == "[PHONE] or 01 99 00 12 34\n"
    assert run("--detect", "PHONE", "--region", "gb", "--region", "FR", given=said).stdout == "[PHONE] or [PHONE]\n"
    refused = run("--detect", "PHONE", "--region", "GBR", given=said)
    assert (refused.exit_code, refused.stderr) == (2, "--region: there is no 'GBR'; did you mean 'GR'?\n")
    assert "--region is for --detect PHONE" in run("--detect", "EMAIL", "--region", "GB", given=said).stderr


STRUCTURED = POLICY.replace(
    "classification: restricted}",
    "classification: restricted, structure: {answer: {schema: {type: object, required: [total]}}}}",
)


def test_an_endpoints_structure_is_tried_too(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(STRUCTURED)
    flags = ("--policy", str(tmp_path / "policy.yaml"), "--endpoint", "chat", "--tier", "free")

    def answer(text: str) -> str:
        return json.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]})

    good = run(*flags, given=answer('{"total": 1, "by": "bob@example.com"}'))
    assert (good.exit_code, "structure=valid" in good.stderr, "bob@" in good.stdout) == (0, True, False)
    bad = run(*flags, given=answer('{"sum": 1}'))
    assert (bad.exit_code, bad.stdout) == (1, "")
    assert "structure=answer/schema/required; failure=response_structure; blocked\n" in bad.stderr
    told = run(*flags, "--json", given=answer('{"sum": 1}'))
    assert json.loads(told.stderr)["structure"] == "answer/schema/required"
    shadow = run(*flags, "--shadow", given=answer('{"sum": 1}'))
    assert (shadow.exit_code, shadow.stdout) == (0, answer('{"sum": 1}'))
    text = run(*flags, "--format", "text", given="no JSON")
    assert (text.exit_code, text.stdout) == (2, "")
    assert "text has no structure, and the endpoint demands one" in text.stderr
