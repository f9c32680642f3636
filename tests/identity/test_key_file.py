from __future__ import annotations

from pathlib import Path

import pytest
from tidegate.errors import PolicyError
from tidegate.identity import key_file

HASH = "blake2b:" + "ab" * 32
GOOD = f"""\
# who may call
version: 1
keys:
  - id: acme0prod0001
    hash: {HASH}
    subject: svc-batch
    tenant: acme
    tier: premium
    roles: [analyst]
  - id: acme0prod0002
    hashes: [{HASH}, {HASH}]
    subject: svc-web
    tenant: acme
    tier: free
    expires: 2030-01-01T00:00:00Z
"""


def faults(text: str) -> list[tuple[int, str, str]]:
    with pytest.raises(PolicyError) as caught:
        key_file.parse(text, name="keys.yaml")
    assert all(problem.file == "keys.yaml" for problem in caught.value.problems)
    return [(problem.line, problem.key, problem.message) for problem in caught.value.problems]


def test_a_good_file() -> None:
    first, second = key_file.parse(GOOD, name="keys.yaml")
    assert (first.id, first.roles, first.expires_at) == ("acme0prod0001", ["analyst"], None)
    assert first.digests == (bytes.fromhex("ab" * 32),)
    assert len(second.digests) == 2
    assert second.expires_at == 1893456000.0


@pytest.mark.parametrize("text", ["version: 1\nkeys: []\n", "{version: 1, keys: []}"])
def test_a_file_without_keys(text: str) -> None:
    assert key_file.parse(text, name="k") == ()


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "message"),
    [
        ("version: 1", "version: 2", 2, "version", "Input should be 1"),
        ("    tenant: acme\n    tier: premium", "    tier: premium", 4, "keys[0].tenant", "Field required"),
        ("svc-batch", "''", 6, "keys[0].subject", "at least 1 character"),
        ("svc-batch", "7", 6, "keys[0].subject", "valid string"),
        ("svc-batch", '"a\\nb"', 6, "keys[0].subject", "match pattern"),
        ("svc-batch", '"a "', 6, "keys[0].subject", "match pattern"),
        ("roles: [analyst]", "roles: analyst", 9, "keys[0].roles", "valid list"),
        ("roles: [analyst]", "roles: [analyst, '']", 9, "keys[0].roles[1]", "at least 1"),
        ("roles: [analyst]", "rolls: [analyst]", 9, "keys[0].rolls", "not permitted"),
        ("roles: [analyst]", "secret: s3cr3t", 9, "keys[0].secret", "not permitted"),
        (f"hash: {HASH}", "hash: plain", 5, "keys[0].hash", "match pattern"),
        (f"hash: {HASH}", f"hash: {HASH.upper()}", 5, "keys[0].hash", "match pattern"),
        (f"hash: {HASH}", f"hash: {HASH}00", 5, "keys[0].hash", "match pattern"),
        (f"    hash: {HASH}\n", "", 4, "keys[0]", "either hash, or hashes"),
        (f"hashes: [{HASH}, {HASH}]", "hashes: []", 11, "keys[1].hashes", "at least 1 item"),
        (f"hashes: [{HASH}, {HASH}]", f"hashes: [{HASH}, {HASH}, {HASH}]", 11, "keys[1].hashes", "at most 2"),
        ("acme0prod0002", "acme0prod0001", 10, "keys[1].id", "another key has this id"),
        ("acme0prod0002", "short", 10, "keys[1].id", "match pattern"),
        ("acme0prod0002", "Acme0Prod0002", 10, "keys[1].id", "match pattern"),
        ("acme0prod0002", "123456789012", 10, "keys[1].id", "valid string"),
        ("2030-01-01T00:00:00Z", "2030-01-01T00:00:00", 15, "keys[1].expires", "timezone"),
        ("2030-01-01T00:00:00Z", "2030-01-01", 15, "keys[1].expires", "datetime"),
        ("2030-01-01T00:00:00Z", "1893456000", 15, "keys[1].expires", "datetime"),
        ("2030-01-01T00:00:00Z", "'1893456000'", 15, "keys[1].expires", "isoformat"),
        ("2030-01-01T00:00:00Z", "soon", 15, "keys[1].expires", "isoformat"),
        ("    tier: premium\n", "    tier: premium\n    tier: free\n", 9, "keys[0].tier", "given twice"),
        ("keys:\n", "keys:\n  nested: {\n", 5, "", "not YAML"),
        ("svc-batch", "!!python/object/apply:os.system [x]", 6, "", "not YAML"),
        ("svc-batch", "*nobody", 6, "", "not YAML"),
    ],
)
def test_faults_name_line_and_key(old: str, new: str, line: int, key: str, message: str) -> None:
    assert old in GOOD
    found = faults(GOOD.replace(old, new, 1))
    assert any((at, where) == (line, key) and message in text for at, where, text in found), found


@pytest.mark.parametrize("text", ["", "[]", "7", "keys: []", "version: 1", "version: 1\nkeys:\n", "? [a]\n: b"])
def test_documents_of_another_shape(text: str) -> None:
    assert faults(text)


def test_every_fault_is_listed_in_file_order() -> None:
    found = faults(GOOD.replace("svc-batch", "''").replace("tier: free", "tier: 1").replace("version: 1", "version: 3"))
    assert [line for line, _, _ in found] == [2, 6, 14]


def test_faults_do_not_repeat_what_was_written() -> None:
    found = faults(GOOD.replace(HASH, "tg_acme0prod0001_secretsecret", 1))
    assert "secretsecret" not in repr(found)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"none\.yaml: cannot be read"):
        key_file.read(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PolicyError, match="cannot be read"):
        key_file.read(tmp_path / "latin.yaml")


@pytest.mark.parametrize("value", ["!!bool maybe", "!!int ''", "!!float ''", "!!timestamp x"])
def test_a_tag_that_does_not_fit_its_value_is_a_fault_and_not_the_end_of_the_watch(value: str) -> None:
    """These are no errors of YAML's own, and nobody looked after the files of the process any more."""
    for text in (value, f"version: {value}\nkeys: []", f"version: 1\nkeys: [{value}]"):
        assert ["not YAML" in message for _, _, message in faults(text)] == [True]


@pytest.mark.parametrize("text", ["[" * 200_000, "- " * 200_000, "keys: " + "{a: " * 9])
def test_a_deep_file_is_a_fault_and_not_the_end_of_the_process(text: str) -> None:
    assert [message for _, _, message in faults(text)] == ["is nested more than 8 deep"]
