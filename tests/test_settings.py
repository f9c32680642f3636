"""Which address is which worker's."""

from __future__ import annotations

from pathlib import Path

import pytest
from tidegate.settings import Settings, SettingsError, offset, read_pepper


@pytest.mark.parametrize(
    ("address", "second"),
    [("127.0.0.1:9401", "127.0.0.1:9402"), ("[::1]:9401", "[::1]:9402"), ("unix:/run/t", "unix:/run/t.1")],
)
def test_a_worker_has_an_address_of_its_own(address: str, second: str) -> None:
    assert offset(address, 0, flag="--listen", unix=True) == address
    assert offset(address, 1, flag="--listen", unix=True) == second


@pytest.mark.parametrize(
    "address", ["", ":9401", "::1:9401", "[::1:9401", "host:", "host:0", "host:１", "host:-1", "unix:"]
)
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(SettingsError, match=r"^--listen: "):
        offset(address, 0, flag="--listen", unix=True)


def test_workers_share_limits_from_the_start() -> None:
    settings = Settings(policy=Path("p"), workers=3)
    assert [settings.for_worker(index).replicas for index in range(3)] == [3, 3, 3]
    assert settings.for_worker(2).metrics == "127.0.0.1:9503"


def test_a_pepper_file_ends_where_its_line_ends(tmp_path: Path) -> None:
    (tmp_path / "pepper").write_bytes(b"sixteen bytes at least\n")
    assert read_pepper(tmp_path / "pepper", "") == b"sixteen bytes at least"
    with pytest.raises(SettingsError, match="at least 16 bytes"):
        read_pepper(None, "short")
    assert read_pepper(None, "") == b""


@pytest.mark.parametrize("content", [b"", b"\n", b" \t\r\n"])
def test_an_empty_pepper_file_is_not_the_word_that_there_is_no_pepper(tmp_path: Path, content: bytes) -> None:
    """As of a secret that is mounted late: the audit chain would begin without its key."""
    (tmp_path / "pepper").write_bytes(content)
    with pytest.raises(SettingsError, match="at least 16 bytes"):
        read_pepper(tmp_path / "pepper", "")


def test_settings_do_not_show_their_secrets() -> None:
    """A traceback or a debugger's log may show what an object says of itself."""
    secrets = {"pepper": b"made-up-pepper-of-no-use", "pseudonym_keys": (b"made-up-key-of-no-use",)}
    urls = dict.fromkeys(("store", "audit"), "redis://:made-up-password@127.0.0.1:6379/0")
    assert "made-up" not in repr(Settings(policy=Path("p"), **secrets, **urls).for_worker(1))
