"""A list of revoked tokens in a file: written, read, tidied, and left alone where it is bad."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.errors import PolicyError
from tidegate.identity import (
    revocation_file,
)
from tidegate.identity.revocation import Revocation

from tests.identity.forge import NOW
from tests.identity.test_revocation import at

names = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)
moments = st.none() | st.integers(0, 4_000_000_000).map(at)
entries = st.one_of(
    st.builds(Revocation, token=names, issuer=st.none() | names, until=moments),
    st.builds(Revocation, subject=names, tenant=st.none() | names, before=st.integers(0, 4_000_000_000).map(at)),
)


@given(st.lists(entries, max_size=5, unique=True))
def test_what_is_written_to_a_file_is_read_from_it(listed: list[Revocation]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "revoked.yaml"
        for entry in listed:
            revocation_file.add(path, entry, now=-1)
        if listed:
            assert set(revocation_file.read(path)) == set(listed)
            assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_root_writes_stays_readable_to_the_service(tmp_path: Path) -> None:
    path = tmp_path / "revoked.yaml"
    revocation_file.add(path, Revocation(token="t1"), now=NOW)
    os.chown(path, 10001, 10002)
    revocation_file.add(path, Revocation(token="t2"), now=NOW)
    known = path.stat()
    assert (known.st_uid, known.st_gid, known.st_mode & 0o777) == (10001, 10002, 0o600)


def test_what_is_over_goes_with_the_next_that_comes(tmp_path: Path) -> None:
    path = tmp_path / "revoked.yaml"
    old, new = Revocation(token="t1", until=at(NOW)), Revocation(token="t2", until=at(NOW + 9))
    revocation_file.add(path, old, now=NOW - 1)
    revocation_file.add(path, new, now=NOW)
    assert revocation_file.read(path) == (new,)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("version: 2\nrevoked: []\n", ":1: version: Input should be 1"),
        ("version: 1\nrevoked:\n  - {token: t}\n  - {subject: ada}\n", ":4: revoked[1]: "),
        ("version: 1\nrevoked:\n  - {token: t, token: u}\n", ":3: revoked[0].token: is given twice"),
        ("version: 1\n", ":1: revoked: Field required"),
        ("[", "not YAML"),
    ],
)
def test_a_bad_file_is_named_by_line_and_key_and_is_not_written_to(text: str, wrong: str, tmp_path: Path) -> None:
    path = tmp_path / "revoked.yaml"
    path.write_text(text)
    with pytest.raises(PolicyError) as caught:
        revocation_file.read(path)
    assert wrong in str(caught.value)
    with pytest.raises(PolicyError):
        revocation_file.add(path, Revocation(token="t"), now=NOW)
    assert path.read_text() == text
