"""`tidegate envoy-config`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tidegate.errors import TidegateError

_AT = "host:port, [v6]:port or unix:/path"


def envoy_config(
    policy: Annotated[Path | None, typer.Option(envvar="TIDEGATE_POLICY", help="Policy document (YAML).")] = None,
    upstream: Annotated[
        list[str] | None,
        typer.Option(help=f"The model: {_AT}; ENDPOINT=ADDRESS for one endpoint's own. May be repeated."),
    ] = None,
    tidegate: Annotated[str, typer.Option(help=f"The workers, one address each, separated by commas: {_AT}.")] = "",
    listen: Annotated[str, typer.Option(help="Where Envoy takes requests.")] = "127.0.0.1:8080",
    admin: Annotated[str, typer.Option(help='Envoy\'s admin page; "" for none.')] = "127.0.0.1:9901",
    filters_only: Annotated[
        bool, typer.Option("--filters-only", help="Only what an Envoy that you already run has to take over.")
    ] = False,
    one_call: Annotated[
        bool,
        typer.Option(
            "--one-call", help="ext_proc decides, too, and there is no ext_authz: faster, and no client mTLS."
        ),
    ] = False,
    max_request_bytes: Annotated[
        int, typer.Option(min=1024, help="Longer request bodies get 413, where the policy has to read them.")
    ] = 4 * 1024 * 1024,
    tls_ca: Annotated[str, typer.Option(help="TLS to the workers: the CA of their certificates (PEM).")] = "",
    tls_name: Annotated[str, typer.Option(help="The DNS name in their certificates.")] = "tidegate",
    tls_cert: Annotated[str, typer.Option(help="Envoy's own certificate, where the workers ask for one.")] = "",
    tls_key: Annotated[str, typer.Option(help="Its key.")] = "",
    check: Annotated[
        Path | None,
        typer.Option(metavar="ENVOY.YAML", help="Name the traps in a file that you have; exit status 1 if it has any."),
    ] = None,
) -> None:
    """Print the Envoy configuration that a policy needs. Paths of TLS files are as Envoy will see them."""
    if check is not None:
        raise typer.Exit(_check(check))
    from tidegate.envoy.config import Address, EnvoyConfig, PolicyTls
    from tidegate.policy.load import load_policy

    try:
        if policy is None or not upstream or not tidegate:
            raise ValueError("--policy, --upstream and --tidegate are needed, or --check and a file")
        if (tls_cert and not tls_ca) or bool(tls_cert) != bool(tls_key):
            raise ValueError("--tls-cert and --tls-key go together, and need --tls-ca")
        named = dict(_split(item) for item in upstream)
        if len(named) < len(upstream):
            raise ValueError("--upstream: given twice for the same endpoint")
        addresses = {name: Address.parse(address) for name, address in named.items()}
        config = EnvoyConfig.for_policy(
            load_policy(policy),
            listen=Address.parse(listen),
            workers=tuple(Address.parse(address) for address in tidegate.split(",")),
            default_upstream=addresses.pop("", None),
            upstreams=addresses,
            admin=Address.parse(admin) if admin else None,
            tls=PolicyTls(tls_ca, tls_name, tls_cert, tls_key) if tls_ca else None,
            max_request_bytes=max_request_bytes,
            one_call=one_call,
        )
        text = config.render_filters() if filters_only else config.render()
    except (TidegateError, ValueError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    typer.echo(text, nl=False)


def _check(file: Path) -> int:
    """The exit status: 0 when the file has no trap, 1 when it has, 2 when it cannot be read."""
    from tidegate.envoy.traps import UnreadableConfig, read, trapped

    try:
        found = trapped(read(file.read_text()))
    except (OSError, UnicodeDecodeError, UnreadableConfig) as error:
        typer.echo(f"{file}: {getattr(error, 'strerror', None) or error}", err=True)
        return 2
    for one in found:
        typer.echo(f"{file}:{one.line}: {one}")
    if not found:
        typer.echo(f"{file}: none of the known traps")
    return 1 if found else 0


def _split(upstream: str) -> tuple[str, str]:
    name, equals, address = upstream.rpartition("=")
    return (name, address) if equals else ("", upstream)
