"""The `tidegate` command. One file a command; each imports what it needs only when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from tidegate import __version__
from tidegate.cli import (
    audit,
    canary,
    demo,
    envoy_config,
    filter,
    keys,
    limits,
    policy,
    reveal,
    serve,
    signing_keys,
    tokens,
)

app = typer.Typer(
    name="tidegate",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain text: "[v6]:port" stays as it is written, nothing is cut off, and it pipes
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def tidegate(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """Policy beside Envoy, in front of model-serving endpoints: who may call, how much, and what may leave."""


app.command("serve")(serve.serve)
app.command("envoy-config")(envoy_config.envoy_config)
app.command("demo")(demo.demo)
app.command("filter")(filter.filter_)
app.command("canary")(canary.canary)
app.command("reveal")(reveal.reveal)
app.add_typer(policy.app, name="policy")
app.add_typer(keys.app, name="keys")
app.add_typer(tokens.app, name="tokens")
app.add_typer(signing_keys.app, name="signing-keys")
app.add_typer(limits.app, name="limits")
app.add_typer(audit.app, name="audit")
