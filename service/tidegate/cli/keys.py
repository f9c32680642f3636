"""`tidegate keys create`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from tidegate.errors import TidegateError
from tidegate.settings import SettingsError, read_pepper

app = typer.Typer(no_args_is_help=True)


@app.callback()
def keys() -> None:
    """Make API keys. The key file holds keyed hashes only; a key itself is shown once."""


@app.command()
def create(
    file: Annotated[Path, typer.Option(help="Key file (YAML); made with mode 0600 when there is none.")],
    subject: Annotated[str, typer.Option(help="Who will call with this key.")],
    tenant: Annotated[str, typer.Option(help="The business unit or partner that the caller belongs to.")],
    tier: Annotated[str, typer.Option(help="The service tier of the caller.")],
    role: Annotated[list[str] | None, typer.Option(help="A role in the tenant; may be repeated.")] = None,
    scope: Annotated[list[str] | None, typer.Option(help="A scope; may be repeated.")] = None,
    expires: Annotated[str, typer.Option(help="ISO 8601 with a zone, like 2030-01-01T00:00:00Z.")] = "",
    pepper_file: Annotated[
        Path | None, typer.Option(envvar="TIDEGATE_KEY_PEPPER_FILE", help="The pepper of the service that reads it.")
    ] = None,
    key_pepper: Annotated[str, typer.Option(envvar="TIDEGATE_KEY_PEPPER", hidden=True)] = "",
) -> None:
    """Add a key to the key file and print it.

    The hash is keyed with a pepper, the same as the service's: TIDEGATE_KEY_PEPPER, or a file of it.
    """
    from tidegate.identity.api_key import mint_key
    from tidegate.identity.key_append import append

    try:
        pepper = read_pepper(pepper_file, key_pepper)
        if not pepper:
            raise SettingsError("a pepper is needed: give --pepper-file, or set TIDEGATE_KEY_PEPPER")
        if expires and not _is_moment(expires):
            raise SettingsError(f"--expires: '{expires}' is not ISO 8601 with a zone, like 2030-01-01T00:00:00Z")
        key, key_id, digest = mint_key(pepper)
        record: dict[str, Any] = {"id": key_id, "hash": digest, "subject": subject, "tenant": tenant, "tier": tier}
        optional = {"roles": role, "scopes": scope, "expires": expires}
        append(file, record | {name: value for name, value in optional.items() if value})
    except OSError as failure:
        typer.echo(f"{failure.filename or file}: {failure.strerror}", err=True)
        raise typer.Exit(2) from None
    except (TidegateError, UnicodeDecodeError) as failure:
        typer.echo(str(failure), err=True)
        raise typer.Exit(2) from None
    typer.echo(f"added key {key_id} to {file}; the key below is not stored anywhere and is shown only now", err=True)
    typer.echo(key)


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
