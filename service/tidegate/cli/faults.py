"""What goes wrong in a command is said in one line a fault, with exit status 2."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from tidegate.errors import TidegateError
from tidegate.settings import SettingsError, naming


@contextmanager
def one_line(*others: type[Exception]) -> Iterator[None]:
    """For what a command was given: a `TidegateError`, or one of `others`."""
    kinds: tuple[type[Exception], ...] = (TidegateError, *others)
    try:
        yield
    except kinds as failure:
        typer.echo(str(failure), err=True)
        raise typer.Exit(2) from None


@contextmanager
def entries_told(file: Path | None, *refusals: type[Exception]) -> Iterator[None]:
    """For entries that a command writes, to `file` or to a store, which may be none or be refused with `refusals`."""
    from pydantic import ValidationError

    kinds: tuple[type[Exception], ...] = (TidegateError, *refusals)
    try:
        yield
    except ValidationError as failure:
        faults = failure.errors(include_url=False, include_input=False, include_context=False)
        text = "\n".join(": ".join(filter(None, (".".join(map(str, fault["loc"])), fault["msg"]))) for fault in faults)
    except OSError as failure:
        text = f"{failure.filename or file}: {failure.strerror}"
    except kinds as failure:
        text = str(failure)
    else:
        return
    typer.echo(text, err=True)
    raise typer.Exit(2)


def check_shared(store: str, without: str = "{} keeps nothing that another process could read") -> None:
    """Raises `SettingsError` for no URL of a store, and, in the words of `without`, for one that is in memory."""
    from tidegate.admission.open import MEMORY, check_url

    with naming("--store"):
        check_url(store)
    if store == MEMORY:
        raise SettingsError(f"--store: {without.format(MEMORY)}")
