"""`python -m tests.injection DATA`: fits the injection model to the data in a folder and says what it is worth.

With `--write` the weights go to where the service reads them, and the table into docs/injection.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tidegate.inbound.injection import model, scorer

from tests.injection.corpus import SOURCES
from tests.injection.judging import split, table
from tests.injection.training import train, written

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = ROOT / "service" / "tidegate" / "inbound" / "injection" / "weights.tsv"
PAGE = ROOT / "docs" / "injection.md"
BEGIN, END = "<!-- measured -->\n", "<!-- /measured -->\n"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="the folder with the data that `tests.injection.corpus.SOURCES` names")
    parser.add_argument("--write", action="store_true", help="write the weights and the table")
    given = parser.parse_args(arguments)
    parts = split(given.data)
    fitted = train(parts.training)
    text = written(fitted, _heading())
    scorer.model = lambda: model.read(text)  # the one that was just made, as the service will read it
    measured = table(parts.held)
    print(measured)
    if given.write:
        WEIGHTS.write_text(text, encoding="utf-8")
        before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
        PAGE.write_text(before + BEGIN + measured + END + rest.partition(END)[2], encoding="utf-8")
    return 0


def _heading() -> str:
    lines = ["Weights of the injection model; made by `python -m tests.injection DATA --write`, from"]
    lines += [f"  {name}: {what}" for name, what in SOURCES.items()]
    lines += ["  the Python standard library (PSF licence), and texts made for this project"]
    return "".join(f"# {line}\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
