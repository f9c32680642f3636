"""`tidegate serve` with what people get wrong: one line that says what, exit status 2, no traceback."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tidegate.cli import app
from typer.testing import CliRunner

PEPPER = "TIDEGATE_KEY_PEPPER"
POLICY = "version: 1\n"
WITH_KEYS = "version: 1\nplatform: {identity: {api_keys: {file: keys.yaml}}}\n"


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "junk.pem").write_text("junk")
    return tmp_path / "policy.yaml"


@pytest.fixture
def taken() -> Iterator[str]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield f"127.0.0.1:{other.getsockname()[1]}"


def refused(policy: Path, *flags: str) -> str:
    result = CliRunner().invoke(app, ["serve", "--policy", str(policy), *flags], env={PEPPER: "", f"{PEPPER}_FILE": ""})
    assert result.exit_code == 2, result.output
    lines = [line for line in result.stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 1
    return lines[0]


STORES = "must be memory://, or begin with redis://, rediss://, unix://, redis+cluster://, rediss+cluster://"


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--listen", "nowhere"], "--listen: 'nowhere' is not host:port, [v6]:port or unix:/path"),
        (["--listen", "127.0.0.1:70000"], "--listen: port 70000 is not in 1 to 65535"),
        (["--listen", "127.0.0.1:65535", "--workers", "2"], "--listen: port 65536 is not in 1 to 65535 (worker 1)"),
        (["--metrics", "unix:/x"], "--metrics: 'unix:/x' is not host:port or [v6]:port"),
        (["--store", "disk://x"], f"--store: {STORES}"),
        (["--store", "redis://localhost:x"], "--store: Port could not be cast to integer value as 'x'"),
        (["--store", "redis://localhost?colour=1"], "--store: got an unexpected keyword argument 'colour'"),
        (["--store", "disk://x", "--workers", "2"], f"--store: {STORES}"),
        (["--store", "redis+cluster://h:1,:2"], "--store: each node must be host:port"),
        (["--tls-cert", "x.pem"], "--tls-cert and --tls-key go together, and --tls-client-ca needs both"),
        (
            ["--tls-cert", "/none/x.pem", "--tls-key", "/none/x.pem"],
            "TLS: /none/x.pem: cannot be read: No such file or directory",
        ),
        (["--key-pepper-file", "/none/x"], "key pepper file: /none/x: cannot be read: No such file or directory"),
        (
            ["--audit", "/var/log"],
            "--audit: must begin with file://, redis://, rediss://, unix://, redis+cluster://, rediss+cluster://",
        ),
        (["--audit", "file:///x?keep=3"], "--audit: unknown option 'keep'; there are max_size, max_age and fsync"),
        (
            ["--audit", "disk:///x", "--workers", "2"],
            "--audit: must begin with file://, redis://, rediss://, unix://, redis+cluster://, rediss+cluster://",
        ),
        (["--audit", "redis://localhost?colour=1"], "--audit: got an unexpected keyword argument 'colour'"),
        (["--log-level", "loud"], "--log-level: 'loud' is not one of debug, info, warning, error"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_one_line_says_what_is_wrong(policy: Path, flags: list[str], told: str) -> None:
    assert refused(policy, *flags) == told


@pytest.mark.parametrize("flag", ["--listen", "--metrics"])
def test_an_address_that_is_taken(policy: Path, taken: str, flag: str) -> None:
    free = [part for other in {"--listen", "--metrics"} - {flag} for part in (other, _free())]
    assert refused(policy, flag, taken, *free) == f"{flag}: cannot listen on {taken}: Address already in use"


def test_a_folder_that_is_not_there_for_a_socket(policy: Path) -> None:
    assert refused(policy, "--listen", "unix:/none/x.sock").endswith("unix:/none/x.sock: No such file or directory")


def test_a_file_that_is_no_certificate(policy: Path) -> None:
    junk = str(policy.parent / "junk.pem")
    told = refused(policy, "--tls-cert", junk, "--tls-key", junk)
    assert told.startswith(f"TLS: {junk} and {junk} are not a certificate and its unencrypted key in PEM (")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_policy_that_is_bad_is_told_once(policy: Path, workers: str) -> None:
    policy.write_text("version: 2\n")
    assert refused(policy, "--workers", workers) == f"{policy}:1: version: must be 1, not 2"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_api_keys_without_a_pepper(policy: Path, workers: str) -> None:
    policy.write_text(WITH_KEYS)
    told = refused(policy, "--workers", workers)
    assert told.startswith(f"{policy.parent / 'keys.yaml'}: its hashes need the pepper")
    assert "--key-pepper-file" in told


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_record_that_is_required_and_has_no_place(policy: Path, workers: str) -> None:
    policy.write_text("version: 1\nplatform: {audit: {required: true}}\n")
    told = refused(policy, "--workers", workers)
    assert told.startswith(f"{policy}: platform.audit.required: nothing can be put on record without --audit")


def _free() -> str:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{other.getsockname()[1]}"
