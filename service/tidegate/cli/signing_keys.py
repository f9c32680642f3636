"""`tidegate signing-keys`: make the keys that sign context tokens, and show what is published of them."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tidegate.cli.faults import one_line
from tidegate.settings import SettingsError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

app = typer.Typer(no_args_is_help=True)


class Kind(StrEnum):
    """A kind of key, by the algorithm that it signs with."""

    ES256 = "ES256"
    ES384 = "ES384"
    RS256 = "RS256"


@app.callback()
def signing_keys() -> None:
    """The keys that sign context tokens.

    A policy names them in `platform.context_token`.
    """


@app.command()
def create(
    file: Annotated[Path, typer.Argument(help="Where the key goes: PKCS #8 in PEM, mode 0600.")],
    alg: Annotated[Kind, typer.Option(help="RS256 is for models that verify nothing else: ten times as dear.")] = (
        Kind.ES256
    ),
) -> None:
    """Make a key pair, and print its id.

    A file that is there stays as it is.
    """
    from cryptography.hazmat.primitives import serialization

    from tidegate.policy.signing_keys import signing_key

    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem = _generate(alg).private_bytes(*form)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        typer.echo(f"{file}: cannot be made: {error.strerror}", err=True)
        raise typer.Exit(2) from None
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(pem)
    typer.echo(signing_key(pem.decode(), where=str(file), private=True).kid)


@app.command()
def jwks(policy: Annotated[Path, typer.Argument(help="Policy document (YAML).")]) -> None:
    """Print the public keys of a policy, a JWK Set.

    Every replica serves the same beside its metrics, at /.well-known/jwks.json.
    """
    from tidegate.context_token import jwks as published
    from tidegate.policy import load_policy

    with one_line():
        keys = published(load_policy(policy))
        if keys is None:
            raise SettingsError(f"{policy}: there are no context tokens: platform.context_token is not given")
    typer.echo(keys.decode())


def _generate(alg: Kind) -> PrivateKeyTypes:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    if alg is Kind.RS256:
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP256R1() if alg is Kind.ES256 else ec.SECP384R1())
