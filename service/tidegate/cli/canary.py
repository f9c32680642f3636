"""`tidegate canary`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli.faults import one_line
from tidegate.settings import SettingsError, read_pepper


def canary(
    name: Annotated[
        str, typer.Option(help="Make the same one for the same name and key, instead of a new one each time.")
    ] = "",
    key_pepper_file: Annotated[
        Path | None,
        typer.Option(envvar="TIDEGATE_KEY_PEPPER_FILE", help="The key of a canary with a name, as for serve."),
    ] = None,
    key_pepper: Annotated[str, typer.Option(envvar="TIDEGATE_KEY_PEPPER", hidden=True)] = "",
) -> None:
    """Make a canary: a word by which a system prompt is known.

    It is put into the prompt of an endpoint (`endpoints.*.system_prompt`), and stands nowhere else: an answer that has
    it tells of the prompt.
    """
    from tidegate.filtering.canaries import make_canary

    with one_line():
        key = read_pepper(key_pepper_file, key_pepper) if name else b""
        if name and not key:
            raise SettingsError("--name: needs a key: --key-pepper-file, or TIDEGATE_KEY_PEPPER")
    typer.echo(make_canary(key, name))
