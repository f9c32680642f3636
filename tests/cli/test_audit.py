"""`tidegate audit`: what an operator and an auditor are told, and with which exit status."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tidegate.audit.chain import chain_key
from tidegate.audit.files import FileSink
from tidegate.audit.sink import FilePlace
from tidegate.cli import app
from tidegate.model import Identity
from typer.testing import CliRunner, Result

from tests.audit.world import ADA, Time, a_decision, a_log, a_refusal, an_exchange

PEPPER = "a-pepper-of-thirty-two-bytes-long"


def run(*arguments: object, **env: str) -> Result:
    return CliRunner(env={"TIDEGATE_KEY_PEPPER": PEPPER, **env}).invoke(app, ["audit", *map(str, arguments)])


@pytest.fixture
async def directory(tmp_path: Path) -> Path:
    """Two workers: Ada's exchanges are decided by one and filtered by the other, an hour apart."""
    clock = Time()
    key = chain_key(PEPPER.encode())
    sinks = {writer: FileSink(FilePlace(tmp_path), writer, clock=clock) for writer in ("one", "two")}
    logs = [a_log(sink, writer=writer, key=key, clock=clock) for writer, sink in sinks.items()]
    for log in logs:
        await log.start()
    for number in range(3):
        logs[0].decision(a_decision(f"r{number}"))
        clock.at += 10
        logs[1].response(*an_exchange(f"r{number}"))
        clock.at += 3590
    bob = Identity("=bob", "acme", "free", "jwt", credential="jti-2")
    logs[0].decision(a_decision("r8", identity=bob))
    logs[0].decision(a_refusal("r9"))
    for log in logs:
        await log.close()
    return tmp_path


def test_verify_says_how_far_each_chain_goes(directory: Path) -> None:
    result = run("verify", directory)
    assert result.exit_code == 0
    assert "one: records 1 to 7 in 1 place\n" in result.output
    assert "two: records 1 to 5 in 1 place\n" in result.output
    heads = [line.split()[1] for line in result.output.splitlines() if line.startswith("  head ")]
    assert run("verify", directory, *(f"--head={head}" for head in heads)).exit_code == 0


async def test_the_commands_of_the_page_answer_over_a_real_log(tmp_path: Path) -> None:
    """As they stand, but for the folder: the one of a key and a morning finds what that key was given that morning."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "audit.md").read_text(encoding="utf-8")
    commands = [shlex.split(line) for line in re.findall(r"^tidegate audit .*$", page, re.MULTILINE)]
    clock = Time(datetime(2026, 1, 31, 9, tzinfo=UTC).timestamp())
    log = a_log(
        FileSink(FilePlace(tmp_path), "one", clock=clock), writer="one", key=chain_key(PEPPER.encode()), clock=clock
    )
    await log.start()
    named = next(words[words.index("--credential") + 1] for words in commands if "--credential" in words)
    for request_id, credential in (("hers", named), ("other", "k2")):
        caller = ADA._replace(credential=credential, client_id=credential)
        log.decision(a_decision(request_id, identity=caller))
        log.response(*an_exchange(request_id))
    await log.close()
    said = {}
    for _, _, verb, folder, *rest in commands:
        assert folder == "/var/log/tidegate/audit"
        result = run(verb, tmp_path, *rest)
        assert result.exit_code == 0, result.output
        said[verb] = result.stdout
    assert said.keys() == {"verify", "query", "export"}
    assert "one: records 1 to 6 in 1 place" in said["verify"]
    (row,) = said["query"].splitlines()[1:]
    assert " ".join(row.split()) == f"2026-01-31 09:00:00 hers ada {named} chat allow rewritten 60 40 EMAIL 2 redact"
    assert [one["request_id"] for one in csv.DictReader(io.StringIO(said["export"]))] == ["hers", "other"]


def test_verify_names_the_first_broken_record(directory: Path) -> None:
    (path,) = directory.glob("one.*.jsonl")
    path.write_bytes(path.read_bytes().replace(b'"credential":"k1"', b'"credential":"k7"', 1))
    result = run("verify", directory)
    assert result.exit_code == 1
    assert result.output == f"broken: {path}:2: record 2 was changed, or hashed with another key\n"


def test_verify_needs_the_pepper_of_a_keyed_log_and_says_so_in_one_line(directory: Path) -> None:
    result = run("verify", directory, TIDEGATE_KEY_PEPPER="")
    assert (result.exit_code, result.output.count("\n")) == (2, 1)
    assert "--key-pepper-file" in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["verify", "/nowhere/at/all"], "/nowhere/at/all: No such file or directory"),
        (["query", "http://example.com"], "must begin with file://"),
        (
            ["query", "redis://:made-up@127.0.0.1:1/0?stream=kept"],
            "the audit stream kept at 127.0.0.1:1: ConnectionError\n",
        ),
        (["export", "unix:///nowhere/redis.sock"], "tidegate-audit at /nowhere/redis.sock: ConnectionError\n"),
        (["query", ".", "--since", "yesterday"], "--since: 'yesterday' is neither a time"),
        (["query", ".", "--since", "99999999d"], "--since: there is no time '99999999d' ago\n"),
        (["verify", "redis+cluster://127.0.0.1:1"], "tidegate-audit at 127.0.0.1:1: RedisClusterException\n"),
        (["verify", ".", "--head", "w:1"], "--head: 'w:1' is not WRITER:NUMBER:HASH"),
    ],
)
def test_what_cannot_be_done_is_one_line(arguments: list[str], said: str) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.output.count("\n")) == (2, 1)
    assert said in result.output


def found(*arguments: object) -> list[dict[str, Any]]:
    result = run("query", *arguments, "--json")
    assert result.exit_code == 0
    answer: list[dict[str, Any]] = json.loads(result.stdout)
    return answer


def ids(exchanges: list[dict[str, Any]]) -> list[str]:
    return [(one["decision"] or one["response"])["request_id"] for one in exchanges]


def test_what_a_key_received_between_two_times_and_with_which_findings_is_one_query(directory: Path) -> None:
    between = ["--since", "2027-01-15T08:00:05", "--until", "2027-01-15T09:59:59Z"]
    answer = found(directory, "--credential", "k1", *between)
    assert ids(answer) == ["r0", "r1"]
    assert all(one["response"]["findings"] == [{"action": "redact", "count": 2, "entity": "EMAIL"}] for one in answer)
    table = run("query", directory, "--credential", "k1", *between).stdout.splitlines()
    words = "TIME REQUEST SUBJECT CREDENTIAL ENDPOINT DECISION RESPONSE READ UNREAD FINDINGS"
    assert " ".join(table[0].split()) == words
    assert " ".join(table[1].split()) == "2027-01-15 08:00:00 r0 ada k1 chat allow rewritten 60 40 EMAIL 2 redact"


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ([], ["r0", "r1", "r2", "r8", "r9"]),
        (["--subject", "=bob"], ["r8"]),
        (["--tenant", "acme"], ["r0", "r1", "r2", "r8"]),
        (["--tenant", "beta"], []),
        (["--endpoint", "chat"], ["r0", "r1", "r2", "r8", "r9"]),
        (["--entity", "EMAIL"], ["r0", "r1", "r2"]),
        (["--entity", "US_SSN"], []),
        (["--since", "2027-01-15T10:00"], ["r2", "r8", "r9"]),
        (["--until", "2027-01-15T08:30"], ["r0"]),
        (["--since", "99999d"], ["r0", "r1", "r2", "r8", "r9"]),
    ],
)
def test_each_question_is_answered(directory: Path, arguments: list[str], wanted: list[str]) -> None:
    assert ids(found(directory, *arguments)) == wanted


def test_lines_that_are_no_record_are_told_of_and_left_out(directory: Path) -> None:
    (path,) = directory.glob("two.*.jsonl")
    path.write_bytes(path.read_bytes().replace(b'"request_id"', b'"request_di"', 1) + b"{}\nx")
    result = run("query", directory)
    assert result.exit_code == 0
    assert "3 lines are no record" in result.stderr


def test_an_export_is_one_exchange_a_line_and_no_formula_of_a_spreadsheet(directory: Path) -> None:
    lines = run("export", directory).stdout.splitlines()
    assert ids([json.loads(line) for line in lines]) == ["r0", "r1", "r2", "r8", "r9"]
    rows = list(csv.DictReader(io.StringIO(run("export", directory, "--format", "csv").stdout)))
    assert [row["subject"] for row in rows] == ["ada", "ada", "ada", "'=bob", ""]
    assert json.loads(rows[0]["findings"]) == [{"action": "redact", "count": 2, "entity": "EMAIL"}]
    assert (rows[4]["verdict"], rows[4]["status"], rows[4]["reason"]) == ("deny", "401", "credential_invalid")
    assert rows[0]["began"] == "2027-01-15T08:00:00+00:00"


async def test_what_an_issuer_or_a_caller_wrote_moves_no_cursor(tmp_path: Path) -> None:
    log = a_log(FileSink(FilePlace(tmp_path), "w", clock=Time()), key=chain_key(PEPPER.encode()))
    await log.start()
    log.decision(a_decision(identity=ADA._replace(subject="ada\x1b[2J\n2026 forged")))
    await log.close()
    _, row = run("query", tmp_path).stdout.splitlines()
    assert "ada\\x1b[2J\\n2026 forged" in row
