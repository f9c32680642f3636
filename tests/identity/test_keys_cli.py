from __future__ import annotations

import asyncio
import json
import stat
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tidegate.cli.keys import app
from tidegate.demo.redis_server import running_redis
from tidegate.errors import PolicyError
from tidegate.identity import KeyStore, RedisKeys, mint_key
from tidegate.identity.key_edit import append, with_record
from tidegate.identity.key_file import KeyEntry
from tidegate.identity.key_register import FileRegister, StoreRegister
from tidegate.identity.key_use_file import FileSums
from tidegate.model import Identity
from typer.testing import CliRunner

from tests.identity.forge import NOW

PEPPER = "a pepper of the tests"
REQUIRED = ["--subject", "batch", "--tenant", "acme", "--tier", "premium"]


def create(file: Path, *more: str, pepper: str = PEPPER) -> tuple[int, str, str]:
    arguments = ["create", "--file", str(file), *REQUIRED, *more]
    result = CliRunner().invoke(app, arguments, env={"TIDEGATE_KEY_PEPPER": pepper, "TIDEGATE_KEY_PEPPER_FILE": ""})
    return result.exit_code, result.stdout, result.stderr


def test_the_printed_key_works_and_is_not_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    code, out, err = create(file, "--role", "a", "--role", "b", "--scope", "chat", "--expires", "2030-01-01T00:00:00Z")
    assert code == 0, err
    key = out.strip()
    assert out == f"{key}\n"
    assert key not in err
    assert key.split("_", 2)[2] not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    identity = KeyStore.load(file, pepper=PEPPER.encode()).prove(key, now=NOW)
    assert isinstance(identity, Identity)
    assert (identity.subject, identity.tenant, identity.tier) == ("batch", "acme", "premium")
    assert (identity.roles, identity.scopes, identity.expires_at) == ({"a", "b"}, {"chat"}, 1893456000.0)


def test_comments_mode_and_older_keys_stay(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    first = create(file)[1].strip()
    file.write_text("# kept by ops\n" + file.read_text() + "  # the end")
    file.chmod(0o640)
    second = create(file)[1].strip()
    assert file.read_text().startswith("# kept by ops\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    store = KeyStore.load(file, pepper=PEPPER.encode())
    assert all(isinstance(store.prove(key, now=NOW), Identity) for key in (first, second))
    assert [path.name for path in tmp_path.iterdir()] == ["keys.yaml"]


def test_a_pepper_file(tmp_path: Path) -> None:
    (tmp_path / "pepper").write_text(PEPPER + "\n")
    code, out, _ = create(tmp_path / "keys.yaml", "--pepper-file", str(tmp_path / "pepper"), pepper="")
    assert code == 0
    store = KeyStore.load(tmp_path / "keys.yaml", pepper=PEPPER.encode())
    assert isinstance(store.prove(out.strip(), now=NOW), Identity)


@pytest.mark.parametrize(
    ("more", "pepper", "message"),
    [
        ([], "", "a pepper is needed"),
        ([], "short", "at least 16 bytes"),
        (["--expires", "2030-01-01"], PEPPER, "--expires: '2030-01-01' is not ISO 8601 with a zone"),
        (["--expires", "soon"], PEPPER, "--expires: 'soon' is not ISO 8601"),
        (["--role", ""], PEPPER, "at least 1 character"),
        (["--subject", "a\nb"], PEPPER, "match pattern"),
    ],
)
def test_what_is_refused_leaves_the_file_alone(more: list[str], pepper: str, message: str, tmp_path: Path) -> None:
    code, out, err = create(tmp_path / "keys.yaml", *more, pepper=pepper)
    assert (code, out) == (2, "")
    assert message in err
    assert list(tmp_path.iterdir()) == []


def test_a_bad_file_is_not_touched(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text("version: 1\nkeys: [{id: x}]\n")
    code, out, err = create(file)
    assert (code, out) == (2, "")
    assert "keys.yaml:2: keys[0].id" in err
    assert file.read_text() == "version: 1\nkeys: [{id: x}]\n"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    code, out, err = create(tmp_path / "none" / "keys.yaml")
    assert (code, out, err) == (2, "", f"{tmp_path / 'none'}: No such file or directory\n")


@pytest.fixture(params=["file", "store"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[str]]:
    """The flag that says where the keys are: everything below holds for both places."""
    if request.param == "file":
        yield ["--file", str(tmp_path / "keys.yaml")]
        return
    with running_redis(directory=tmp_path) as url:
        yield ["--store", url]


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(
        app, list(arguments), env={"TIDEGATE_KEY_PEPPER": PEPPER, "TIDEGATE_KEY_PEPPER_FILE": ""}
    )
    assert result.exit_code == code, result.stderr
    return result.stdout if code == 0 else result.stderr


def listed(place: list[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run("list", "--json", *place).splitlines()]


def proves(place: list[str], key: str) -> str:
    """What the service would say to the key now."""
    keys = asyncio.run(entries_at(place))
    verdict = KeyStore.of(keys, pepper=PEPPER.encode()).prove(key, now=time.time())
    return "" if isinstance(verdict, Identity) else verdict.detail


async def entries_at(place: list[str]) -> tuple[KeyEntry, ...]:
    flag, where = place
    register = FileRegister(Path(where)) if flag == "--file" else StoreRegister(RedisKeys(where))
    try:
        return await register.entries()
    finally:
        await register.close()


def test_a_key_from_its_creation_to_its_end(place: list[str]) -> None:
    first = run("create", *place, *REQUIRED, "--role", "analyst", "--endpoint", "chat", "--endpoint", "embed").strip()
    key_id = first.split("_")[1]
    (row,) = listed(place)
    assert row == {
        "id": key_id,
        "subject": "batch",
        "tenant": "acme",
        "tier": "premium",
        "roles": ["analyst"],
        "endpoints": ["chat", "embed"],
        "state": "live",
        "uses": None if "--file" in place else 0,  # nobody counts where there is no store
        "last_used": None if "--file" in place else "",
    }
    second = run("rotate", key_id, *place).strip()
    assert second.split("_")[1] == key_id
    assert second != first
    assert (proves(place, first), proves(place, second)) == ("", "")
    assert listed(place)[0]["state"] == "rotating"
    third = run("rotate", key_id, *place, "--overlap", "0s").strip()
    assert [proves(place, key) for key in (first, second, third)] == ["key_secret", "key_secret", ""]
    run("expire", key_id, *place, "--at", "2020-01-01T00:00:00Z")
    assert proves(place, third) == "key_expired"
    assert listed(place)[0]["state"] == "expired"
    run("expire", key_id, *place, "--after", "1h")
    assert proves(place, third) == ""
    run("expire", key_id, *place, "--never")
    assert "expires" not in listed(place)[0]
    run("revoke", key_id, *place)
    assert proves(place, third) == "key_revoked"
    assert listed(place)[0]["state"] == "revoked"
    assert "revoked, for good" in run("rotate", key_id, *place, code=2)


def test_no_secret_and_no_hash_is_listed(place: list[str]) -> None:
    key = run("create", *place, *REQUIRED).strip()
    for text in (run("list", *place), run("list", "--json", *place)):
        assert key.split("_")[1] in text
        assert key.split("_", 2)[2] not in text
        assert "blake2b" not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["revoke", "unknown00000"], "unknown00000"),
        (["rotate", "SHORT"], "a key id is 12 to 64"),
        (["rotate", "unknown00000", "--overlap", "soon"], "--overlap: must be a duration"),
        (["expire", "unknown00000"], "exactly one of --at, --after and --never"),
        (["expire", "unknown00000", "--at", "2030-01-01"], "--at: '2030-01-01' is not ISO 8601 with a zone"),
        (["expire", "unknown00000", "--never", "--after", "1h"], "exactly one of"),
        (["create", *REQUIRED, "--role", "a\nb"], "roles"),
    ],
)
def test_what_is_refused_says_why_in_a_line(arguments: list[str], message: str, place: list[str]) -> None:
    run("create", *place, *REQUIRED)
    before = listed(place)
    assert message in run(*arguments, *place, code=2)
    assert listed(place) == before


def test_where_the_keys_are_has_to_be_said(tmp_path: Path) -> None:
    assert run("list", code=2) == "where the keys are is needed: give --file or --store\n"
    assert "keeps nothing" in run("list", "--store", "memory://", code=2)
    assert "--store: must be" in run("list", "--store", "http://x", code=2)
    assert run("list", "--store", "redis://127.0.0.1:9", code=2) == "the key store: ConnectionError\n"
    assert "cannot be read" in run("list", "--file", str(tmp_path / "none"), code=2)


def test_uses_that_nobody_counts_are_unknown_and_not_none(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    create(file)
    result = CliRunner().invoke(app, ["list", "--file", str(file)])
    head, line = result.stdout.splitlines()
    assert head.split()[-2:] == ["uses", "last_used"]
    assert line.split()[-2:] == ["?", "?"]
    assert result.stderr == ("uses are unknown: nobody has counted any beside this file; perhaps in a store, --store\n")
    with running_redis(directory=tmp_path) as url:
        counted = CliRunner().invoke(app, ["list", "--file", str(file), "--store", url])
    assert counted.stdout.splitlines()[1].split()[-1] == "0"
    assert counted.stderr == ""


def test_the_uses_of_a_files_keys_lie_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    key_id = create(file)[1].split("_")[1]
    asyncio.run(FileSums(lambda: file).count({key_id: 3}, now=NOW))
    (row,) = listed(["--file", str(file)])
    assert (row["uses"], row["last_used"]) == (3, "2023-11-14T22:13:20+00:00")
    (tmp_path / "keys.yaml.uses").write_text("{")
    assert "keys.yaml.uses:1: is not what was written there" in run("list", "--file", str(file), code=2)


def test_the_uses_of_a_files_keys_are_the_stores(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    key_id = create(file)[1].split("_")[1]

    async def use(url: str) -> None:
        keys = RedisKeys(url)
        await keys.count({key_id: 3}, now=NOW)
        await keys.close()

    with running_redis(directory=tmp_path / "redis") as url:
        asyncio.run(use(url))
        (row,) = listed(["--file", str(file), "--store", url])
    assert (row["uses"], row["last_used"]) == (3, "2023-11-14T22:13:20+00:00")


def record(key_id: str) -> dict[str, str]:
    _, _, digest = mint_key(PEPPER.encode())
    return {"id": key_id, "hash": digest, "subject": "s", "tenant": "t", "tier": "free"}


@pytest.mark.parametrize(
    "text",
    [
        "version: 1\nkeys: []\n",
        "{version: 1, keys: []}",
        "version: 1\nkeys:\n- {id: aaaaaaaaaaaa, hash: HASH, subject: s, tenant: t, tier: free}",
        "keys:\n    - {id: aaaaaaaaaaaa, hash: HASH, subject: s, tenant: t, tier: free}\nversion: 1\n",
        "---\nversion: 1\nkeys:\n  - {id: aaaaaaaaaaaa, hash: HASH, subject: s, tenant: t, tier: free}\n...\n",
    ],
)
def test_files_of_every_layout_grow(text: str, tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text(text.replace("HASH", "blake2b:" + "00" * 32))
    before = len(KeyStore.load(file, pepper=PEPPER.encode()))
    append(file, record("123456789012"))
    append(file, record("1e1000000000"))
    assert len(KeyStore.load(file, pepper=PEPPER.encode())) == before + 2


def test_a_repeated_id_is_refused() -> None:
    text = with_record("version: 1\nkeys:\n", record("aaaaaaaaaaaa"), name="k")
    with pytest.raises(PolicyError, match="another key has this id"):
        with_record(text, record("aaaaaaaaaaaa"), name="k")


def test_two_writers_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: append(file, record(f"writer{n:06}")), range(20)))
    assert len(KeyStore.load(file, pepper=PEPPER.encode())) == 20


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real.yaml", tmp_path / "keys.yaml"
    append(real, record("aaaaaaaaaaaa"))
    link.symlink_to(real)
    append(link, record("bbbbbbbbbbbb"))
    assert link.is_symlink()
    assert len(KeyStore.load(real, pepper=PEPPER.encode())) == 2
