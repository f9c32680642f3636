"""Reversible pseudonyms: from the model's answer through Envoy to the command that turns them back, and on record."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tidegate.audit.chain import chain_key
from tidegate.audit.reading import lines_of, records_of
from tidegate.audit.verify import verify

from tests.e2e.keys import PEPPER, POLICY
from tests.e2e.stack import Gate, running_gate, until
from tests.e2e.upstream import Upstream, chat, chunked, delta, finish, json_answer

SECRET = "bob@example.com"
WHY = "case 17: the customer asked for a correction"
OLD, NEW = "old-secret-of-thirty-two-bytes-or-more", "new-secret-of-thirty-two-bytes-or-more"
REVERSIBLE = POLICY.replace(
    "  pii: [{detect: [EMAIL, CREDIT_CARD], act: redact}]\n",
    "  pii: [{detect: [EMAIL], act: pseudonymize, scope: conversation, reversible: true}]\n",
).replace(
    '  acme: {grants: [{role: analyst, endpoints: "*"}]}\n  beta: {}\n',
    '  acme: {grants: [{role: analyst, endpoints: "*"}], reveal: {roles: [privacy], rate: 20/1h}}\n'
    "  beta: {reveal: {roles: [privacy]}}\n",
)


class Place:
    """A gate, its log, its keys."""

    def __init__(self, gate: Gate, directory: Path) -> None:
        self.gate, self.log, self.directory = gate, directory / "audit", directory

    def pseudonym(self, text: str = SECRET, **headers: str) -> str:
        answer = self.gate.get(json_answer(chat(f"write to {text} today")), headers=headers)
        assert text not in answer.text
        found = re.search(r"\[EMAIL_[a-z2-7]{64,}\]", answer.text)
        assert found is not None
        return found[0]

    def reveal(self, pseudonym: str, who: str = "officer", why: str = WHY) -> subprocess.CompletedProcess[str]:
        key = self.directory / f"{who}.key"
        key.write_text(self.gate.keys.get(who, "tg_none_none"))
        command = ["reveal", pseudonym, "--reason", why, "--address", f"127.0.0.1:{self.gate.ports[0]}"]
        return subprocess.run(
            [sys.executable, "-m", "tidegate", *command, "--credential-file", str(key)],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Place]:
    directory = tmp_path_factory.mktemp("reveal")
    with running(directory, upstream, [OLD]) as gate:
        yield Place(gate, directory)


def running(directory: Path, upstream: Upstream, secrets: list[str]):  # type: ignore[no-untyped-def]
    keys = directory / "pseudonym-keys"
    keys.write_text("\n".join(secrets))
    flags = {"audit": f"file://{directory}/audit", "pseudonym-keys-file": keys}
    return running_gate(directory, upstream, policy=REVERSIBLE, flags=flags)


def test_what_the_client_got_leads_back_and_the_record_says_who_followed_it(place: Place) -> None:
    pseudonym = place.pseudonym(**{"x-conversation": "c1"})
    answer = place.reveal(pseudonym)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, f"{SECRET}\n", "")
    record = [one for one in records_of(str(place.log)) if one and one["kind"] == "reveal"][-1]
    assert (record["subject"], record["tenant"], record["entity"], record["why"], record["verdict"]) == (
        "officer", "acme", "EMAIL", WHY, "allow",
    )  # fmt: skip
    shown = subprocess.run(
        [sys.executable, "-m", "tidegate", "audit", "reveals", str(place.log), "--subject", "officer", "--json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(shown.stdout)[-1] == record
    assert verify(lines_of(str(place.log)), key=chain_key(PEPPER)).broken is None
    written = "".join(path.read_text() for path in place.log.glob("*.jsonl"))
    worker = (place.directory / "worker-0.log").read_text()
    for secret in (SECRET, pseudonym, pseudonym[7:-1]):
        assert secret not in written
        assert secret not in worker


def test_a_stream_has_one_that_leads_back_however_it_is_cut(place: Place) -> None:
    parts = [delta(f"to {SECRET[:5]}"), delta(SECRET[5:]), *finish()]
    text = place.gate.get(chunked(parts)).text
    found = re.search(r"\[EMAIL_[a-z2-7]+\]", text)
    assert found is not None
    assert place.reveal(found[0]).stdout == f"{SECRET}\n"


@pytest.mark.parametrize(
    ("who", "status"),
    [
        ("free", "access_denied"),
        ("stranger", "pseudonym_unknown"),
        ("beta", "access_denied"),
        ("x", "credential_invalid"),
    ],
    ids=["no role", "another tenant's", "another tenant's without the role", "nobody"],
)
def test_who_may_not_gets_nothing_and_is_on_record(place: Place, who: str, status: str) -> None:
    before = place.gate.metric("tidegate_reveals_total", outcome=status)
    answer = place.reveal(place.pseudonym(), who)
    assert (answer.returncode, answer.stdout) == (1, "")
    assert status in answer.stderr
    until(
        lambda: [one for one in records_of(str(place.log)) if one and one["kind"] == "reveal"][-1]["reason"] == status
    )
    assert place.gate.metric("tidegate_reveals_total", outcome=status) == before + 1


def test_a_forged_one_has_the_same_answer_as_one_that_was_never_made(place: Place) -> None:
    true = place.pseudonym()
    forged = true[:-3] + ("a" if true[-3] != "a" else "b") + true[-2:]
    answers = {
        re.sub("request [0-9a-f]+", "", place.reveal(text).stderr)
        for text in (forged, "[EMAIL_7f3a9c021b44]", "nothing")
    }
    assert len(answers) == 1
    assert "pseudonym_unknown" in answers.pop()


def test_a_call_without_a_reason_or_a_credential_is_none(place: Place) -> None:
    assert place.reveal("[EMAIL_x]", why=" ").returncode == 2
    bare = [sys.executable, "-m", "tidegate", "reveal", "[EMAIL_x]", "--reason", "x", "--address", "127.0.0.1:1"]
    assert subprocess.run(bare, capture_output=True, check=False).returncode == 2


def test_keys_change_without_a_pseudonym_lost_and_an_old_one_ends_with_its_key(
    tmp_path: Path, upstream: Upstream
) -> None:
    with running(tmp_path, upstream, [OLD]) as gate:
        old = Place(gate, tmp_path).pseudonym()
    with running(tmp_path, upstream, [NEW, OLD]) as gate:
        changed = Place(gate, tmp_path)
        new = changed.pseudonym()
        assert [changed.reveal(one).stdout for one in (old, new)] == [f"{SECRET}\n"] * 2
    with running(tmp_path, upstream, [NEW]) as gate:
        after = Place(gate, tmp_path)
        assert after.reveal(new).stdout == f"{SECRET}\n"
        assert "pseudonym_unknown" in after.reveal(old).stderr


def test_while_nothing_can_be_put_on_record_nothing_is_revealed(tmp_path: Path, upstream: Upstream) -> None:
    """A limit on the size of files, set and lifted on the running worker, stands for a disk that is full."""
    with running(tmp_path, upstream, [OLD]) as gate:
        place = Place(gate, tmp_path)
        pseudonym = place.pseudonym()
        assert place.reveal(pseudonym).stdout == f"{SECRET}\n"
        (file,) = place.log.glob("*.jsonl")
        pid = gate.workers[0].pid
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (file.stat().st_size, hard))
        for _ in range(2):
            answer = place.reveal(pseudonym)
            assert (answer.returncode, answer.stdout) == (1, "")
            assert "audit_unavailable" in answer.stderr
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
        until(lambda: gate.metric("tidegate_audit_available") == 1)
        assert place.reveal(pseudonym).stdout == f"{SECRET}\n"
