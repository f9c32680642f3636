"""Pages of docs/ that are made from the code, or measured on it: held to that, or written anew."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

DOCS: Final = Path(__file__).resolve().parent.parent / "docs"


def held(file: Path, page: str, maker: str, arguments: Sequence[str] | None = None) -> int:
    """0 when the file is the page that the module `maker` made, or was written with `--write`; 1 otherwise."""
    parser = argparse.ArgumentParser(prog=f"python -m {maker}")
    parser.add_argument("--write", action="store_true", help="write the page instead of checking it")
    if parser.parse_args(arguments).write:
        file.write_text(page, encoding="utf-8")
    if not file.is_file() or file.read_text(encoding="utf-8") != page:
        print(f"docs/{file.name} is not what it is made from: python -m {maker} --write", file=sys.stderr)
        return 1
    return 0
