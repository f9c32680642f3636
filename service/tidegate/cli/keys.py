"""`tidegate keys`: create, list, rotate, revoke and expire API keys, in a file or in the store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from tidegate.cli.faults import check_shared, entries_told
from tidegate.cli.moments import moment, span
from tidegate.settings import SettingsError, read_pepper

if TYPE_CHECKING:
    from tidegate.identity.key_register import KeyRegister
    from tidegate.identity.key_store import Use

T = TypeVar("T")
app = typer.Typer(no_args_is_help=True)

FileOption = Annotated[Path | None, typer.Option(help="Key file (YAML); made with mode 0600 when there is none.")]
StoreOption = Annotated[str, typer.Option(help="Or the store that has the keys, as for `tidegate serve`.")]
PepperFile = Annotated[
    Path | None, typer.Option(envvar="TIDEGATE_KEY_PEPPER_FILE", help="The pepper of the service that reads them.")
]
Pepper = Annotated[str, typer.Option(envvar="TIDEGATE_KEY_PEPPER", hidden=True)]
KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key's id: what stands between tg_ and the next _.")]


@app.callback()
def keys() -> None:
    """Manage API keys, in a file or in the store. Both hold keyed hashes only; a key itself is shown once."""


@app.command()
def create(
    subject: Annotated[str, typer.Option(help="Who will call with this key.")],
    tenant: Annotated[str, typer.Option(help="The business unit or partner that the caller belongs to.")],
    tier: Annotated[str, typer.Option(help="The service tier of the caller.")],
    file: FileOption = None,
    store: StoreOption = "",
    role: Annotated[list[str] | None, typer.Option(help="A role in the tenant; may be repeated.")] = None,
    scope: Annotated[list[str] | None, typer.Option(help="A scope; may be repeated.")] = None,
    endpoint: Annotated[
        list[str] | None, typer.Option(help="An endpoint that it opens; may be repeated. Without any, it may open all.")
    ] = None,
    expires: Annotated[str, typer.Option(help="ISO 8601 with a zone, like 2030-01-01T00:00:00Z.")] = "",
    pepper_file: PepperFile = None,
    key_pepper: Pepper = "",
) -> None:
    """Add a key and print it.

    The hash is keyed with a pepper, the same as the service's: TIDEGATE_KEY_PEPPER, or a file of it.
    """
    from tidegate.identity.api_key import mint_key

    with _told(file):
        pepper = _pepper(pepper_file, key_pepper)
        if expires:
            moment("--expires", expires)
        key, key_id, digest = mint_key(pepper)
        record: dict[str, Any] = {"id": key_id, "hash": digest, "subject": subject, "tenant": tenant, "tier": tier}
        optional = {"roles": role, "scopes": scope, "endpoints": endpoint, "expires": expires}
        record |= {name: value for name, value in optional.items() if value}
        _with_register(file, store, lambda register: register.add(record))
    _show(key, f"added key {key_id} to {file or 'the store'}")


@app.command("list")
def list_keys(
    file: FileOption = None,
    store: StoreOption = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line, with everything but hashes.")
    ] = False,
) -> None:
    """List keys, with how often and when they were used.

    A service counts uses in its store, also where the keys are in a file: with both flags the keys are the file's, and
    their uses the store's. A service without a store counts them in a file beside the keys.
    """
    from tidegate.cli.key_rows import row, table
    from tidegate.identity.key_use_file import read_uses

    with _told(file):
        entries = _with_register(file, store, lambda register: register.entries())
        uses = asyncio.run(_uses(store)) if store else read_uses(file) if file else None
        rows = [row(entry, uses, datetime.now(UTC)) for entry in entries]
    if uses is None:
        typer.echo("uses are unknown: nobody has counted any beside this file; perhaps in a store, --store", err=True)
    typer.echo("\n".join(map(json.dumps, rows)) if as_json else table(rows), nl=bool(rows) or not as_json)


@app.command()
def rotate(
    key_id: KeyId,
    file: FileOption = None,
    store: StoreOption = "",
    overlap: Annotated[str, typer.Option(help="How long the secret before stays good: 0s, 90m, 24h, 7d.")] = "24h",
    pepper_file: PepperFile = None,
    key_pepper: Pepper = "",
) -> None:
    """Give a key a new secret, and print it.

    The secret before it stays good for a while, so that callers can change over.
    """
    from tidegate.identity.api_key import mint_key
    from tidegate.identity.key_changes import rotated

    with _told(file):
        pepper = _pepper(pepper_file, key_pepper)
        overlapping = span("--overlap", overlap)
        key, _, digest = mint_key(pepper, key_id=key_id)
        until = datetime.now(UTC).replace(microsecond=0) + overlapping if overlapping else None
        _with_register(
            file, store, lambda register: register.change(key_id, lambda e: rotated(e, digest, overlap_until=until))
        )
    _show(
        key,
        f"key {key_id} has a new secret; the one before {f'is good until {until.isoformat()}' if until else 'is dead'}",
    )


@app.command()
def revoke(key_id: KeyId, file: FileOption = None, store: StoreOption = "") -> None:
    """End a key for good. Every replica refuses it within 2 seconds."""
    from tidegate.identity.key_changes import revoked

    with _told(file):
        now = datetime.now(UTC).timestamp()
        _with_register(file, store, lambda register: register.change(key_id, lambda entry: revoked(entry, now=now)))
    typer.echo(f"revoked key {key_id}", err=True)


@app.command()
def expire(
    key_id: KeyId,
    file: FileOption = None,
    store: StoreOption = "",
    at: Annotated[str, typer.Option(help="When: ISO 8601 with a zone, like 2030-01-01T00:00:00Z.")] = "",
    after: Annotated[str, typer.Option(help="Or in how long: 90m, 24h, 30d.")] = "",
    never: Annotated[bool, typer.Option("--never", help="Or not at all.")] = False,
) -> None:
    """Set when a key ends, or that it does not."""
    from tidegate.identity.key_changes import expiring

    with _told(file):
        if sum((bool(at), bool(after), never)) != 1:
            raise SettingsError("give exactly one of --at, --after and --never")
        end = moment("--at", at) if at else None
        if after:
            end = datetime.now(UTC).replace(microsecond=0) + span("--after", after)
        _with_register(file, store, lambda register: register.change(key_id, lambda entry: expiring(entry, end)))
    typer.echo(f"key {key_id} {f'is good until {end.isoformat()}' if end else 'has no end'}", err=True)


def _told(file: Path | None) -> AbstractContextManager[None]:
    from tidegate.identity.key_changes import KeyChangeRefused

    return entries_told(file, KeyChangeRefused, ValueError)


def _with_register(file: Path | None, store: str, work: Callable[[KeyRegister], Awaitable[T]]) -> T:
    from tidegate.identity.key_register import FileRegister, StoreRegister
    from tidegate.identity.key_store import RedisKeys

    if file is None and not store:
        raise SettingsError("where the keys are is needed: give --file or --store")
    if store:
        check_shared(store)

    async def run() -> T:
        register: KeyRegister = FileRegister(file) if file is not None else StoreRegister(RedisKeys(store))
        try:
            return await work(register)
        finally:
            await register.close()

    return asyncio.run(run())


async def _uses(store: str) -> dict[str, Use]:
    from tidegate.identity.key_store import RedisKeys

    kept = RedisKeys(store)
    try:
        return await kept.uses()
    finally:
        await kept.close()


def _show(key: str, what: str) -> None:
    typer.echo(f"{what}; the key below is not stored anywhere and is shown only now", err=True)
    typer.echo(key)


def _pepper(file: Path | None, value: str) -> bytes:
    pepper = read_pepper(file, value)
    if not pepper:
        raise SettingsError("a pepper is needed: give --pepper-file, or set TIDEGATE_KEY_PEPPER")
    return pepper
