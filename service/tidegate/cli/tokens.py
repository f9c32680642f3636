"""`tidegate tokens`: refuse tokens before their time, in a file or in the store."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidegate.cli.faults import check_shared, entries_told
from tidegate.cli.moments import moment, span
from tidegate.settings import SettingsError

if TYPE_CHECKING:
    from tidegate.identity.revocation import Revocation

app = typer.Typer(no_args_is_help=True)

FileOption = Annotated[Path | None, typer.Option(help="The file of `platform.revocation`; made when there is none.")]
StoreOption = Annotated[str, typer.Option(help="Or the store that has the list, as for `tidegate serve`.")]


@app.callback()
def tokens() -> None:
    """Revoke tokens. API keys have `tidegate keys revoke`."""


@app.command()
def revoke(
    token: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="A token's `jti`, or the credential that our records show.")
    ] = None,
    subject: Annotated[str | None, typer.Option(help="Or all tokens of this caller,")] = None,
    tenant: Annotated[str | None, typer.Option(help="of this tenant,")] = None,
    issuer: Annotated[str | None, typer.Option(help="of this issuer (the exact `iss`),")] = None,
    before: Annotated[str, typer.Option(help="that were issued before; ISO 8601 with a zone. By default, now.")] = "",
    keep: Annotated[str, typer.Option(help="When the entry may go: 1h, 31d, or never.")] = "31d",
    file: FileOption = None,
    store: StoreOption = "",
) -> None:
    """Refuse a token, or all tokens of somebody until now.

    Every replica does so within 2 seconds. Keep the entry for as long as the longest of those tokens is good.
    """
    from tidegate.identity.revocation import Revocation

    now = time.time()
    with _told(file):
        if before and token is not None:
            raise SettingsError("--before is for all tokens of somebody, not for one")
        ends = None if keep == "never" else datetime.now(UTC).replace(microsecond=0) + span("--keep", keep)
        given: dict[str, Any] = {"token": token, "subject": subject, "tenant": tenant, "issuer": issuer, "until": ends}
        if token is None and (subject or tenant or issuer):
            given["before"] = moment("--before", before) if before else datetime.fromtimestamp(now, UTC)
        entry = Revocation.model_validate(given)
        _add(file, store, entry, now)
    typer.echo(f"revoked {json.dumps(entry.record())}", err=True)


@app.command("list")
def list_tokens(file: FileOption = None, store: StoreOption = "") -> None:
    """List what is revoked, one JSON object a line."""
    with _told(file):
        entries = _entries(file, store)
    for line in sorted(json.dumps(entry.record()) for entry in entries):
        typer.echo(line)


def _add(file: Path | None, store: str, entry: Revocation, now: float) -> None:
    from tidegate.identity import revocation_file
    from tidegate.identity.revocation_store import RedisRevocations

    _check_place(file, store)
    if file is not None:
        revocation_file.add(file, entry, now=now)
        return

    async def run() -> None:
        kept = RedisRevocations(store)
        try:
            await kept.add(entry, now=now)
        finally:
            await kept.close()

    asyncio.run(run())


def _entries(file: Path | None, store: str) -> tuple[Revocation, ...]:
    from tidegate.identity import revocation_file
    from tidegate.identity.revocation_store import RedisRevocations

    _check_place(file, store)
    if file is not None:
        return revocation_file.read(file)

    async def run() -> tuple[Revocation, ...]:
        kept = RedisRevocations(store)
        try:
            return (await kept.since(b"")).entries or ()
        finally:
            await kept.close()

    return asyncio.run(run())


def _check_place(file: Path | None, store: str) -> None:

    if (file is None) == (not store):
        raise SettingsError("where the list is: give --file or --store")
    if store:
        check_shared(store)


def _told(file: Path | None) -> AbstractContextManager[None]:
    from tidegate.identity.revocation_store import RevocationsFull

    return entries_told(file, RevocationsFull)
