from __future__ import annotations

import hmac
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tidegate.errors import PolicyError
from tidegate.identity import KeyStore, api_key, mint_key
from tidegate.model import Deny, Identity, Reason

from tests.identity.forge import NOW

PEPPER = b"a pepper of the tests"


def write(path: Path, *records: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump({"version": 1, "keys": list(records)}), encoding="utf-8")
    return path


def record(key_id: str, digest: str, **more: Any) -> dict[str, Any]:
    return {"id": key_id, "hash": digest, "subject": "batch", "tenant": "acme", "tier": "premium"} | more


@pytest.fixture
def key() -> tuple[str, str, str]:
    return mint_key(PEPPER)


@pytest.fixture
def store(tmp_path: Path, key: tuple[str, str, str]) -> KeyStore:
    _, key_id, digest = key
    return KeyStore.load(
        write(tmp_path / "keys.yaml", record(key_id, digest, roles=["analyst"], scopes=["chat"])), pepper=PEPPER
    )


def reason(verdict: Identity | Deny) -> str:
    assert isinstance(verdict, Deny), verdict
    assert verdict.status == 401
    return verdict.detail


def test_a_key_proves_its_record(store: KeyStore, key: tuple[str, str, str]) -> None:
    identity = store.prove(key[0], now=NOW)
    assert identity == Identity(
        subject="batch",
        tenant="acme",
        tier="premium",
        method="api_key",
        roles=frozenset({"analyst"}),
        scopes=frozenset({"chat"}),
        credential=key[1],
        client_id=key[1],
    )
    assert store.prove(key[0], now=NOW) is identity  # ready made, nothing is built in a request


def test_minted_keys_have_the_documented_shape_and_do_not_repeat() -> None:
    made = [mint_key(PEPPER) for _ in range(50)]
    assert all(re.fullmatch(r"tg_[a-z2-7]{16}_[A-Za-z0-9_-]{43}", full) for full, _, _ in made)
    assert all(re.fullmatch(r"blake2b:[0-9a-f]{64}", digest) for _, _, digest in made)
    assert len({full for full, _, _ in made}) == len({key_id for _, key_id, _ in made}) == 50


def test_underscores_and_dashes_in_the_secret_are_no_separators(tmp_path: Path) -> None:
    full, key_id, digest = mint_key(PEPPER, key_id="demo00000001", rng=lambda n: b"\xff\xef\xbe" * n)
    full, key_id, digest = mint_key(PEPPER, key_id="demo00000001", rng=lambda n: (b"\xff\xef\xbe" * n)[:n])
    assert "_" in full.removeprefix("tg_demo00000001_")
    store = KeyStore.load(write(tmp_path / "keys.yaml", record(key_id, digest)), pepper=PEPPER)
    assert isinstance(store.prove(full, now=NOW), Identity)


def test_wrong_secret_unknown_id_and_other_pepper(store: KeyStore, key: tuple[str, str, str], tmp_path: Path) -> None:
    other, other_id, _ = mint_key(PEPPER)
    assert reason(store.prove(other, now=NOW)) == "key_unknown"
    assert reason(store.prove(f"tg_{key[1]}_{other.removeprefix(f'tg_{other_id}_')}", now=NOW)) == "key_secret"
    write(tmp_path / "keys.yaml", record(key[1], key[2]))
    assert reason(KeyStore.load(tmp_path / "keys.yaml", pepper=PEPPER + b"!").prove(key[0], now=NOW)) == "key_secret"


def test_outside_nobody_can_tell_an_unknown_id_from_a_wrong_secret(store: KeyStore, key: tuple[str, str, str]) -> None:
    unknown, wrong = store.prove(mint_key(PEPPER)[0], now=NOW), store.prove(key[0][:-2] + "AA", now=NOW)
    assert isinstance(unknown, Deny)
    assert isinstance(wrong, Deny)
    assert (unknown.status, unknown.message, unknown.headers) == (wrong.status, wrong.message, wrong.headers)


def test_unknown_ids_cost_the_same_hash_and_the_same_comparisons(
    store: KeyStore, key: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    real = api_key.keyed_hash

    def digest(pepper: bytes, secret: bytes) -> bytes:
        calls.append("hash")
        return real(pepper, secret)

    def compare(first: bytes, second: bytes) -> bool:
        calls.append(f"compare {len(first)}")
        assert len(first) == len(second)
        return hmac.compare_digest(first, second)

    fake = type("fake", (), {"compare_digest": staticmethod(compare)})
    monkeypatch.setattr(api_key, "hmac", fake)
    monkeypatch.setattr(api_key, "keyed_hash", digest)
    work: list[list[str]] = []
    for credential in (key[0], mint_key_text(), key[0][:-2] + "AA"):
        calls.clear()
        store.prove(credential, now=NOW)
        work.append(list(calls))
    assert work == [["compare 16", "hash", "compare 32", "compare 32"]] * 3


def mint_key_text() -> str:
    return "tg_0000000000000000_" + "A" * 43


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tg_",
        "tg__",
        "tg_short_" + "A" * 43,
        "tg_UPPERCASE0000_" + "A" * 43,
        "tg_demo00000001_",
        "tg_demo00000001_" + "A" * 42,
        "tg_demo00000001_" + "A" * 44,
        "tg_demo00000001_" + "A" * 42 + "=",
        "tg_demo00000001_" + "A" * 42 + "é",
        "tg_demo00000001_" + "A" * 43 + "\n",
        "tg_" + "a" * 65 + "_" + "A" * 43,
        "TG_demo00000001_" + "A" * 43,
        "tg_demo00000001-" + "A" * 43,
        "tg_demo00000001_" + "\uff21" * 43,
    ],
)
def test_malformed_keys(text: str, store: KeyStore) -> None:
    assert reason(store.prove(text, now=NOW)) == "key_malformed"


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text() | st.from_regex(r"tg_[a-z0-9]{12,16}_[A-Za-z0-9_-]{43}", fullmatch=True))
def test_no_text_raises_or_passes(text: str, store: KeyStore) -> None:
    assert reason(store.prove(text, now=NOW)) in ("key_malformed", "key_unknown")


def test_expiry_to_the_second_and_only_for_who_knows_the_secret(tmp_path: Path, key: tuple[str, str, str]) -> None:
    moment = datetime.fromtimestamp(NOW, UTC).isoformat()
    store = KeyStore.load(write(tmp_path / "k.yaml", record(key[1], key[2], expires=moment)), pepper=PEPPER)
    good = store.prove(key[0], now=NOW - 0.001)
    assert isinstance(good, Identity)
    assert good.expires_at == NOW
    late = store.prove(key[0], now=NOW)
    assert isinstance(late, Deny)
    assert (late.status, late.reason) == (401, Reason.CREDENTIAL_EXPIRED)
    assert reason(store.prove(key[0][:-2] + "AA", now=NOW)) == "key_secret"


def test_two_live_hashes_while_rotating(tmp_path: Path) -> None:
    old, key_id, old_digest = mint_key(PEPPER, key_id="rotating0001")
    new, _, new_digest = mint_key(PEPPER, key_id="rotating0001")
    entry = record(key_id, "", hashes=[old_digest, new_digest])
    del entry["hash"]
    store = KeyStore.load(write(tmp_path / "k.yaml", entry), pepper=PEPPER)
    assert isinstance(store.prove(old, now=NOW), Identity)
    assert isinstance(store.prove(new, now=NOW), Identity)


def test_reload_reads_the_file_again_and_leaves_the_old_store_alone(
    store: KeyStore, key: tuple[str, str, str], tmp_path: Path
) -> None:
    full, key_id, digest = mint_key(PEPPER)
    newer = KeyStore.load(write(tmp_path / "keys.yaml", record(key_id, digest)), pepper=PEPPER)
    assert newer.find(key[1]) is None
    assert reason(newer.prove(key[0], now=NOW)) == "key_unknown"
    assert isinstance(newer.prove(full, now=NOW), Identity)
    assert isinstance(store.prove(key[0], now=NOW), Identity)
    assert len(newer) == 1


def test_no_file_means_no_keys() -> None:
    store = KeyStore.load(None, pepper=b"")
    assert len(store) == 0
    assert reason(store.prove(mint_key_text(), now=NOW)) == "key_unknown"


def test_a_short_pepper_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="at least 16 bytes"):
        KeyStore.load(write(tmp_path / "k.yaml"), pepper=b"short")
    with pytest.raises(ValueError, match="at least 16 bytes"):
        mint_key(b"short")


@pytest.mark.parametrize("key_id", ["short", "UPPERCASE0000", "under_score00", "x" * 65, "demo00000001\n"])
def test_ids_that_cannot_be_minted(key_id: str) -> None:
    with pytest.raises(ValueError, match="12 to 64"):
        mint_key(PEPPER, key_id=key_id)


def test_records_do_not_show_their_hashes(store: KeyStore, key: tuple[str, str, str]) -> None:
    found = store.find(key[1])
    assert found is not None
    assert "digests" not in repr(found)
