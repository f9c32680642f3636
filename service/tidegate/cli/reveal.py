"""`tidegate reveal`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli.faults import one_line
from tidegate.settings import SettingsError


def reveal(
    pseudonym: Annotated[str, typer.Argument(help="All of it, with its brackets.")],
    reason: Annotated[str, typer.Option(help="Why you ask: it is put on record, with who you are.")],
    address: Annotated[
        str, typer.Option(envvar="TIDEGATE_ADDRESS", help="The service: host:port, or unix:/path.")
    ] = "127.0.0.1:9401",
    credential_file: Annotated[
        Path | None,
        typer.Option(
            envvar="TIDEGATE_CREDENTIAL_FILE", help="Your API key or token; by default read from TIDEGATE_CREDENTIAL."
        ),
    ] = None,
    header: Annotated[str, typer.Option(help="The header that the policy takes it from.")] = "authorization",
    tls_ca: Annotated[
        Path | None, typer.Option(help="The CA of the service's certificate (PEM); without it, no TLS.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for the answer.")] = 10.0,
    credential: Annotated[str, typer.Option(envvar="TIDEGATE_CREDENTIAL", hidden=True)] = "",
) -> None:
    """Turn a pseudonym back into its value, on record.

    The policy says who may (`tenants.*.reveal`), and the rule that made the pseudonym that it leads back. The value is
    written to standard output, exit status 0; 1 is a refusal, 2 no answer.
    """
    with one_line(UnicodeEncodeError):
        secret = _read(credential_file).strip() if credential_file else credential
        if not secret:
            raise SettingsError("a credential is needed: --credential-file, or TIDEGATE_CREDENTIAL")
        value = secret if header.lower() != "authorization" or " " in secret else f"Bearer {secret}"
        answer = _ask(pseudonym, reason, address, (header, value), tls_ca, timeout)
    refusal, told = answer
    if refusal:
        typer.echo(refusal, err=True)
        raise typer.Exit(1)
    typer.echo(told)


def _ask(
    pseudonym: str, reason: str, address: str, header: tuple[str, str], tls_ca: Path | None, timeout: float
) -> tuple[str, str]:
    """(why not, the value): one of them is empty. Raises `SettingsError` where there is no answer."""
    import grpc

    from tidegate.api import tidegate_pb2 as pb

    call = pb.RevealRequest(pseudonym=pseudonym, reason=reason, headers=[pb.Header(name=header[0], value=header[1])])
    if tls_ca is None:
        channel = grpc.insecure_channel(address)
    else:
        channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(_read(tls_ca).encode()))
    with channel:
        ask = channel.unary_unary(
            "/tidegate.v1.PolicyService/Reveal",
            request_serializer=pb.RevealRequest.SerializeToString,
            response_deserializer=pb.RevealResponse.FromString,
        )
        try:
            answer = ask(call, timeout=timeout)
        except grpc.RpcError as error:
            raise SettingsError(f"{address}: {error.code().name.lower()}: {error.details()}") from None
    if answer.HasField("revealed"):
        return "", answer.revealed.value
    return f"refused: {answer.deny.message} ({answer.deny.reason}, request {answer.request_id})", ""


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read: {error}") from None
