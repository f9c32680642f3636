"""docs/detectors.md, what can be looked for and how long it may hold text back: made from the table of detectors."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from tidegate.filtering import phones
from tidegate.filtering.detector import Detector
from tidegate.filtering.detectors import DETECTORS, GROUPS
from tidegate.filtering.ner.model import LOCATION, ORGANIZATION, PERSON
from tidegate.filtering.passages import LONGEST
from tidegate.filtering.secrets import SECRETS

from tests.pages import DOCS, held

FILE = DOCS / "detectors.md"
WORDS_SHOWN = 3
TOKENS_A_SECOND = 50
TOKEN_CHARACTERS = 4
_SYNTAX = re.compile(r"\(\?:.*\)[?{}0-9,]*|\[[^]]*\][?]?.*|'\?|[?\\]")
INTRODUCTION = """\
# What can be detected

Made from the table of detectors by `python -m tests.detector_reference --write`; a test holds it to that.

`detect:` in a [policy](policy.md) takes the names of the first columns. Text is read as a person sees it: full-width
digits, look-alike letters, invisible characters and typographic dashes hide nothing, nor do escapes: HTML character
references (`&#64;`, `&commat;`), percent-encoding (`%40`) and those of programming languages and JSON (`\\x40`,
`\\u0040`, `\\100`, `\\N{COMMERCIAL AT}`), mixed or up to three in one another. An escape is replaced whole, and counts
as one character; what is longer than 64 characters is none. `bob%20@example.com` is an address as it is written, so a
written-out space before an at sign is no space.

Base64 (both alphabets, padded or not) and hexadecimal text of at least nine ASCII characters (seven in padded base64,
eight in hexadecimal) is read as well, wherever it begins and however long it is: in a `data:` URL, a path, a token. The
groups of it in which a value stands are replaced, and the rest stays. What lies in base64 of text in other scripts is
found up to the characters outside ASCII; what is encoded twice, broken by line breaks inside of a value, or encoded
together with bytes that are no text, such as a compressed file, is not. Nor is quoted-printable, of which `=40` is an
assignment in any program.

Text is read as it is written, and not as a browser shows it: tags and comments inside of a value
(`bob<b>@</b>example.com`), Markdown in it (`bob**@**example.com`) and lines folded by a format (iCalendar, vCard) take
it apart, and it is not found. What must not reach a browser so is markup itself: see [links.md](links.md).

`EMAIL_SPELT_OUT` holds every word that a space ends until the next character, which `EMAIL` does not.

Hold-back is the most characters of a text that a detector keeps while it cannot tell yet, and how many milliseconds
that is of a stream of 50 tokens a second, of 4 characters each ([hold-back.md](hold-back.md) has what it comes to):
only what may still become a value is kept, and characters that cannot be seen come on top (at most 16 after each).
What may become an escape is held too, and of what may be base64 or hexadecimal as much as a value takes in it, which
is up to twice as long; where 128 characters or more are kept, so are up to an eighth of them more, and no more than 64,
before they are looked at again. A value without an end of its own that passes it is replaced by the constant form and
swallowed to its end. A plan holds back no more than the longest of its detectors. A value that is recognised by a
word needs it within the characters before it that are named, or as what it stands under: the key of a string in JSON
(`{"birthDate": "1980-02-29"}`), or what the first row of a CSV file says of its column.

A megabyte of the worst text that is known costs all of this together no more than a second of a core, and no text costs
more than in proportion to its length: a test holds every row to that.

Beside this table, `LIST_` and a name in capitals is the [deny list](lists.md) of that name, and
`ACTIVE_CONTENT`, `EXTERNAL_IMAGE` and `EXTERNAL_LINK` are [markup](links.md),
`SYSTEM_PROMPT` and `CANARY` what tells of [the prompt](prompts.md) of an endpoint,
`UNGROUNDED_URL`, `UNGROUNDED_EMAIL`, `UNGROUNDED_CITATION` and `UNGROUNDED_MARKER` [references](references.md). The
categories of `CONTENT_SAFETY` are of whole passages and no patterns: see [safety.md](safety.md).
"""

NAMES_INTRODUCTION = """\
By language models that run here and know by the context what is a name, so they miss some and take others for one:
[names.md](names.md) says how often, what they leave alone, and what they need installed. A sentence is held back until
it is over.
"""


def reference() -> str:
    """The whole page."""
    secrets = [row for row in DETECTORS if row in SECRETS]
    others = [row for row in DETECTORS if row not in SECRETS]
    groups = [f"| `{name}` | {', '.join(f'`{entity}`' for entity in sorted(GROUPS[name]))} |" for name in GROUPS]
    return "\n".join(
        [
            INTRODUCTION,
            *_table("Personal data", others),
            *_phones(),
            *_table("Secrets", secrets),
            *_names(),
            "## Groups",
            "",
            "| group | kinds of value |",
            "| --- | --- |",
            *groups,
            "",
        ]
    )


def _table(title: str, rows: Sequence[Detector]) -> list[str]:
    lines = [_line(row) for row in sorted(rows, key=lambda row: (row.entity, row.name))]
    head = "| kind of value | detector | recognised by | checked by | hold-back | ms |"
    return [f"## {title}", "", head, "| --- | --- | --- | --- | ---: | ---: |", *lines, ""]


PHONES_INTRODUCTION = """\
`PHONE` in a rule with `regions: [GB, DE]` also finds numbers as the people of those regions write them, of any of the
{count} regions that libphonenumber has a plan of, and of at least seven digits; [quality.md](quality.md) says how well.
With what is dialled before them, such as 0, they may be grouped in any way; else in a way that is usual there, or
behind a word. Ranges that Ofcom and ARCEP keep for fiction are numbers, too. A number has one pseudonym with its
country code and without ([pseudonyms.md](pseudonyms.md)). Many regions at once find more of what is no number: name
those that you serve.
"""


def _phones() -> list[str]:
    rows = phones.rows(phones.REGIONS)
    return [
        "### Telephone numbers of regions",
        "",
        PHONES_INTRODUCTION.format(count=len(phones.REGIONS)),
        "| kind of value | detector | recognised by | checked by | hold-back | ms |",
        "| --- | --- | --- | --- | ---: | ---: |",
        *map(_line, rows),
        "",
    ]


def milliseconds(characters: int) -> int:
    """How long so many characters take to come, of which each token has a few."""
    return -(-characters // TOKEN_CHARACTERS) * 1000 // TOKENS_A_SECOND


def _names() -> list[str]:
    shown = "people", "places: cities, countries, regions, buildings", "organisations"
    lines = [
        f"| `{entity}` | {what} | {LONGEST:,} |"
        for entity, what in zip((PERSON, LOCATION, ORGANIZATION), shown, strict=True)
    ]
    return [
        "## Names",
        "",
        NAMES_INTRODUCTION,
        "| kind of value | finds | hold-back |",
        "| --- | --- | ---: |",
        *lines,
        "",
    ]


def _line(row: Detector) -> str:
    return (
        f"| `{row.entity}` | {row.name} | {_recognised(row)} | {row.check} | {row.cap:,} | {milliseconds(row.cap):,} |"
    )


def _recognised(row: Detector) -> str:
    if row.near:
        return f"a word such as {_first_words(row.near)} in the {row.within} characters before it"
    if row.sign:
        return f"`{row.sign.replace('(?i:', '(?:')}`".replace("|", "\\|")
    return "its shape"


def _first_words(pattern: str) -> str:
    """A few of the words, without the syntax around them."""
    depth, word, words = 0, "", []
    for char in pattern + "|":
        depth += (char == "(") - (char == ")")
        if char == "|" and depth == 0:
            words.append(word)
            word = ""
        else:
            word += char
    readable = dict.fromkeys(
        text for each in words if re.fullmatch(r"[a-z ]{2,}", text := _SYNTAX.sub("", each).strip())
    )
    shown = list(readable)[:WORDS_SHOWN] or [re.sub(r"[^a-z].*", "", pattern.lstrip("(?:"))]
    return " or ".join(f"`{text}`" for text in shown)


def main(arguments: Sequence[str] | None = None) -> int:
    """See `held`."""
    return held(FILE, reference(), "tests.detector_reference", arguments)


if __name__ == "__main__":
    sys.exit(main())
