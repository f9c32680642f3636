"""Changing an entry of a key file leaves everything else as somebody wrote it."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tidegate.errors import PolicyError
from tidegate.identity import key_file
from tidegate.identity.key_changes import KeyChangeRefused, expiring, revoked, rotated
from tidegate.identity.key_edit import append, change

from tests.identity.forge import NOW

HASH, OTHER = "blake2b:" + "00" * 32, "blake2b:" + "11" * 32
TEXT = f"""\
# kept by ops
version: 1
keys:
  # the first
  - id: aaaaaaaaaaaa   # never rotate on Fridays
    hash: {HASH}
    subject: one
    tenant: acme
    tier: free
    roles:
      - analyst
  # the second

  - {{id: bbbbbbbbbbbb, hash: {HASH}, subject: two, tenant: acme, tier: free}}  # inline
  - id: cccccccccccc
    hashes:
    - {HASH}
    - {OTHER}
    subject: three
    tenant: acme
    tier: free
    expires: 2030-01-01T00:00:00Z
# the end
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "keys.yaml"
    made.write_text(TEXT)
    made.chmod(0o640)
    return made


@pytest.mark.parametrize("key_id", ["aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc"])
def test_one_entry_changes_and_the_rest_stays_to_the_letter(key_id: str, file: Path) -> None:
    before = key_file.read(file)
    made = change(file, key_id, lambda entry: revoked(entry, now=NOW))
    after = key_file.read(file)
    assert [entry for entry in after if entry.id != key_id] == [entry for entry in before if entry.id != key_id]
    assert [entry for entry in after if entry.id == key_id] == [made]
    assert made.revoked is not None
    text = file.read_text()
    for comment in ("# kept by ops", "  # the first\n", "  # the second\n\n", "  # inline", "# the end\n"):
        assert comment in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert [path.name for path in file.parent.iterdir()] == ["keys.yaml"]


def test_many_changes_in_a_row(file: Path) -> None:
    for number in range(6):
        change(file, "cccccccccccc", lambda entry: rotated(entry, OTHER, overlap_until=None))
        change(file, "bbbbbbbbbbbb", lambda entry: expiring(entry, None))
        append(file, {"id": f"added{number:07}", "hash": HASH, "subject": "s", "tenant": "t", "tier": "free"})
    assert len(key_file.read(file)) == 9
    assert "# the second" in file.read_text()


@pytest.mark.parametrize(
    "text",
    [
        f"{{version: 1, keys: [{{id: aaaaaaaaaaaa, hash: '{HASH}', subject: s, tenant: t, tier: free}}]}}",
        f"keys:\n- {{id: aaaaaaaaaaaa, hash: '{HASH}', subject: s, tenant: t, tier: free}}\nversion: 1\n",
        f'keys: [{{"id": "aaaaaaaaaaaa", "hash": "{HASH}", "subject": "s", "tenant": "t", "tier": "x"}}]\nversion: 1',
        f"---\nversion: 1\nkeys:\n    -   id: aaaaaaaaaaaa\n        hash: {HASH}\n        subject: s\n"
        "        tenant: t\n        tier: free\n...\n",
    ],
)
def test_files_of_every_layout(text: str, file: Path) -> None:
    file.write_text(text)
    made = change(file, "aaaaaaaaaaaa", lambda entry: revoked(entry, now=NOW))
    assert key_file.read(file) == (made,)


def test_what_goes_wrong_leaves_the_file_alone(file: Path) -> None:
    with pytest.raises(KeyChangeRefused, match="has no key dddddddddddd"):
        change(file, "dddddddddddd", lambda entry: entry)
    change(file, "aaaaaaaaaaaa", lambda entry: revoked(entry, now=NOW))
    text = file.read_text()
    with pytest.raises(KeyChangeRefused):
        change(file, "aaaaaaaaaaaa", lambda entry: expiring(entry, None))
    assert file.read_text() == text
    file.write_text("version: 2\n")
    with pytest.raises(PolicyError):
        change(file, "aaaaaaaaaaaa", lambda entry: entry)
    with pytest.raises(FileNotFoundError):
        change(file.parent / "none.yaml", "aaaaaaaaaaaa", lambda entry: entry)


def test_two_writers_lose_nothing(file: Path) -> None:
    steps = ["aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc"] * 4
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda key_id: change(file, key_id, lambda entry: revoked(entry, now=NOW)), steps))
    assert all(entry.revoked for entry in key_file.read(file))
