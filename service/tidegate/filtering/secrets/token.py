"""How a row for a token is written: what its issuer puts before it, and how many of which characters follow.

Issuers print a fixed text before their tokens so that scanners find them. The values in the rows are made up, letters
and digits in turn, and belong to nobody.
"""

from __future__ import annotations

import re

from tidegate.filtering.detector import FRESH, Accept, Detector
from tidegate.filtering.entropy import random

TOKEN_CAP = 256
HEX = "0-9a-f"
LOWER = "0-9a-z"
UPPER = "0-9A-Z"
ALNUM = "0-9A-Za-z"
HEX_BOTH = "0-9A-Fa-f"
BECH32 = "02-9AC-HJ-NP-Z"
WORD = "0-9A-Za-z_-"
BASE64 = "0-9A-Za-z+\x2f"

_TRIGGER = 8  # characters behind the prefix that RE2 counts before it proposes: few, so that states stay few
_MADE_UP = "4fK9aQ2xZ7mB0cW5tR8uJ3dY6vE1nHpGsLkXoIqCwTz"
_SAMPLE = {
    HEX: "4f9a2c7b0d5e8163",
    LOWER: "4fk9aq2xz7mb0cw5tr8uj3dy6ve1nh",
    UPPER: "4FK9AQ2XZ7MB0CW5TR8UJ3DY6VE1NH",
    HEX_BOTH: "4f9A2c7B0d5E8163",
    BECH32: "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L",
}


def made_up(chars: str, size: int) -> str:
    """A value of this alphabet that nobody was given."""
    sample = _SAMPLE.get(chars, _MADE_UP)
    return (sample * (size // len(sample) + 1))[:size]


def token(
    entity: str,
    name: str,
    prefixes: str | tuple[str, ...],
    chars: str,
    low: int,
    high: int | None = 0,
    *,
    bits: float = 3.0,
    negatives: tuple[str, ...] = (),
) -> Detector:
    """A row for tokens that begin with one of `prefixes`, after which `low` to `high` of `chars` follow.

    `high` 0 stands for `low`, None for a token of any length from `low` on. `bits` is the entropy of a character that
    what follows must have, so that `prefix_xxxxxxxx` in a manual is no token.
    """
    prefixes = (prefixes,) if isinstance(prefixes, str) else prefixes
    sign = "|".join(re.escape(prefix) for prefix in prefixes)
    head = f"(?:{sign})" if len(prefixes) > 1 else sign
    count = f"{{{low},}}" if high is None else f"{{{low}}}" if not high else f"{{{low},{high}}}"
    samples = tuple(prefix + made_up(chars, low) for prefix in prefixes)
    return Detector(
        entity=entity,
        name=name,
        sign=sign,
        guard=FRESH,
        body=f"{head}[{chars}]{count}",
        ahead="" if high is None else f"[^{chars}]",
        trigger=f"{head}[{chars}]{{{min(low, _TRIGGER)}}}",
        run=f"[{chars}]" if high is None else "",
        limit=TOKEN_CAP if high is None else 0,
        accept=random(len(min(prefixes, key=len)), bits),
        check="entropy",
        positives=samples,
        negatives=(prefixes[0] + made_up(chars, low - 1), "x" + samples[0], prefixes[0] + "x" * low, *negatives),
    )


def shaped(
    entity: str,
    name: str,
    sign: str,
    rest: str,
    positives: tuple[str, ...],
    negatives: tuple[str, ...],
    *,
    ahead: str = f"[^{WORD}]",
    guard: str = FRESH,
    accept: Accept | None = None,
    wake: str = "",
) -> Detector:
    """A row for what begins with `sign` and goes on as `rest`, both patterns, and has an end."""
    return Detector(
        entity=entity,
        name=name,
        sign=sign,
        guard=guard,
        body=f"(?:{sign}){rest}",
        ahead=ahead,
        wake=wake,
        trigger=wake if wake.startswith(r"(?:\b") else sign,
        accept=accept or random(0, 3.0),
        check="shape" if accept else "entropy",
        positives=positives,
        negatives=negatives,
    )


def named(
    entity: str,
    name: str,
    owner: str,
    chars: str,
    low: int,
    high: int = 0,
    *,
    body: str = "",
    sample: str = "",
) -> Detector:
    """A row for keys that have no prefix: `low` to `high` of `chars` soon behind their owner's name and a word for key.

    `body` and `sample` are for keys of another shape than one run of characters.
    """
    value = sample or made_up(chars, low)
    counts = f"{low},{high}" if high else f"{low}"
    more = f"{low - 1},{high - 1}" if high else f"{low - 1}"
    # No run of such characters goes on where a value begins: a proposal at each of them would cost more than it finds.
    starts = rf"(?:(?:\b|[nrt])[{ALNUM}_]|(?:\B|[nrt])[+=-])" if "-" in chars[-1] else rf"(?:\b|[nrt])[{chars}]"
    word = owner.partition("|")[0]
    return Detector(
        entity=entity,
        name=name,
        near=rf"(?:{owner})\)?(?:[_ .-]?(?:{_KEY_WORDS})s?){{1,4}}",
        within=60,
        guard=r"(?:(?<![0-9A-Za-z_\x2f+.-])|(?<=\\[nrt]))",
        body=body or f"[{chars}]{{{counts}}}",
        trigger=rf"(?:\b|[nrt]){body}" if body else f"{starts}[{chars}]{{{more}}}",
        ahead=f"[^{ALNUM}_-]",
        accept=random(0, 3.0),
        check="entropy",
        positives=(
            f"{word}_api_key = {value}",
            f'{word.upper()}_TOKEN: "{value}"',
            f"the {word} access token is {value}",
        ),
        negatives=(value, f"{word}_api_key = {value[:-1]}", f"{word}_token = {'0' * low}"),
    )


_KEY_WORDS = (
    "api|app|application|access|account|auth|oauth|bot|client|consumer|secret|private|personal|rest|service|server|key"
    "|token|password|credential|admin|management|upload|write"
)
UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
MADE_UP_UUID = "4f9a2c7b-0d5e-4163-9a2c-7b0d5e81634f"
