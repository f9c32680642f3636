"""`tidegate demo`."""

from __future__ import annotations

from typing import Annotated

import typer


def demo(
    store: Annotated[
        str, typer.Option(help="Where limits are counted: memory, or redis for two processes.")
    ] = "memory",
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running and print curl lines to try.")] = False,
) -> None:
    """Start the whole stack, drive it as a client, print a table.

    Envoy, tidegate and an unprotected model app on loopback ports; the exit status is 0 when every row is as expected.
    """
    if store not in ("memory", "redis"):
        raise typer.BadParameter(f"'{store}' is neither memory nor redis", param_hint="--store")
    try:
        from tidegate.demo.show import show
    except ModuleNotFoundError as missing:
        typer.echo(f"the demo needs '{missing.name}': install tidegate[demo]", err=True)
        raise typer.Exit(2) from None
    raise typer.Exit(show("redis" if store == "redis" else "memory", keep=keep))
