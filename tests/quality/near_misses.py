# ruff: noqa: E501 (a row of the table is a line here)
"""What looks like a value and is none: drawn for the slots `<order>`, `<commit>` and so on of a sentence."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from random import Random
from typing import Final

from stdnum import isbn

from tests.quality.issued.shapes import Draw, shape, shaped, valid


def _failing_luhn(rng: Random) -> str:
    """Sixteen digits of a reference, with a check digit that is wrong for a card."""
    digits = shape(rng, "4{d:14}")
    total = sum(sum(divmod(int(digit) * (2 - at % 2), 10)) for at, digit in enumerate(digits))
    return digits + str((1 - total) % 10)


def _isbn(rng: Random) -> str:
    number = valid("isbn", "978{d:10}", written=False)(rng)
    return str(isbn.format(number)) if rng.random() < 0.5 else number


def _moment(rng: Random) -> str:
    return shape(
        rng,
        f"20{rng.randint(10, 29)}-{{mm}}-{{dd}}T{rng.randrange(24):02}:{rng.randrange(60):02}:{rng.randrange(60):02}.{{d:3}}Z",
    )


NEAR_MISSES: Final[Mapping[str, Draw]] = {
    "order": shaped("#{d:6}", "ORD-{d:8}", "10{d:8}", "PO {d:5}-{d:2}", "INV-20{d:2}-{d:4}"),
    "tracking": lambda rng: rng.choice((_failing_luhn(rng), shape(rng, "1Z{A:16}"), shape(rng, "9400 1{d:3} {d:4} {d:4} {d:4} {d:2}"))),
    "ticket": shaped("INC{d:7}", "JIRA-{d:4}", "CASE {d:8}", "GH-{d:3}"),
    "isbn": _isbn,
    "commit": shaped("{h:7}", "{h:40}", "{h:12}"),
    "digest": shaped("sha256:{h:64}", "{h:64}", "{h:32}", "sha1-{h:40}"),
    "integrity": lambda rng: f"sha512-{base64.b64encode(rng.randbytes(64)).decode()}",
    "uuid": shaped("{uuid}"),
    "version": shaped("v{n:1}.{d:1}.{d:2}", "{n:1}.{n:1}{d:1}.{d:1}", "{n:1}.{d:1}.{d:1}-rc.{n:1}", "{n:1}{d:1}.0.{d:4}.{d:3}"),
    "moment": _moment,
    "date": lambda rng: rng.choice((_moment(rng)[:10], f"{rng.randint(1, 28)} May 20{rng.randint(10, 29)}", f"Q{rng.randint(1, 4)} 20{rng.randint(10, 29)}")),
    "epoch": lambda rng: str(1_600_000_000 + rng.randrange(200_000_000)) + rng.choice(("", f"{rng.randrange(1000):03}")),
    "count": shaped("{n:1}", "{n:1}{d:1}", "{n:1}{d:2}", "{n:1},{d:3}", "{n:1}{d:4}"),
    "amount": shaped("${n:1}{d:1}.{d:2}", "\u20ac{n:1},{d:3}.{d:2}", "{n:1}{d:2}.{d:2} USD", "{n:1}.{n:1} million"),
    "number": shaped("{n:1}{d:10}", "{n:1}{d:8}", "{n:1}{d:7}", "{n:1}{d:12}"),
    "decimal": shaped("0.{d:4}", "{n:1}.{d:6}", "-{n:1}.{d:8}", "{n:1}.{d:2}e-{n:1}"),
    "percent": shaped("{n:1}.{d:1}%", "{n:1}{d:1}%"),
    "part": shaped("{L:2}-{d:4}-{A:2}", "SKU {d:3}-{d:4}", "{d:3}-{d:5}-{L:1}", "Model {L:1}{d:4}"),
    "package": shaped("lodash@4.17.{d:2}", "@types/node@20.{n:1}.{d:1}", "numpy=={n:1}.{d:2}.{d:1}", "react@18.{d:1}.0"),
    "remote": shaped("git@github.com:team/{l:6}.git", "git@gitlab.example:{l:4}/{l:5}.git"),
    "doi": shaped("10.{d:4}/{l:6}.{d:4}", "arXiv:2{d:3}.{d:5}"),
    "hex": shaped("0x{h:8}", "0x{h:16}", "#{h:6}", "0x{h:2}"),
    "resource": shaped("arn:aws:s3:::{l:8}-{l:4}/*", "projects/{l:6}-{d:6}/locations/eu", "registry.example/{l:5}/{l:6}:{n:1}.{d:1}"),
    "placeholder": lambda rng: rng.choice(("<YOUR_API_KEY>", "sk-...", "xxxxxxxx", "changeme", "${API_KEY}", "REDACTED", "your-token-here", "********")),
    "lookup": shaped("os.environ['API_KEY']", "process.env.STRIPE_SECRET_KEY", "get_secret('prod/db')", "settings.auth_token", "vault.read('kv/app').password"),
    "place": shaped("line {n:1}{d:2}", "page {n:1}{d:1}", "section {n:1}.{d:1}.{d:1}", "RFC {n:1}{d:3}", "column {n:1}{d:1}"),
    "image": lambda rng: f"data:image/png;base64,{base64.b64encode(rng.randbytes(90)).decode()}",
}  # fmt: skip
"""By the name of the slot."""
