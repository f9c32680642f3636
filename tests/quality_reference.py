"""docs/quality.md, how much is found and how much is found wrongly: measured on the corpus of `tests/quality`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from tidegate.filtering.detectors import ENTITIES
from tidegate.filtering.secrets import SECRETS

from tests.pages import DOCS, held
from tests.quality import corpus
from tests.quality.issued.personal import national_phones
from tests.quality.score import Report, measure, patterns

FILE = DOCS / "quality.md"
SEED: Final = 2
ANSWERS: Final = 4000
PAGES: Final = 800
REGIONS: Final = (
    *("AT", "AU", "BE", "BR", "CH", "CN", "CZ", "DE", "DK", "ES", "FI", "FR", "GB", "GR", "HU", "IE", "IN", "IT", "JP"),
    *("KR", "MX", "NL", "NO", "NZ", "PL", "PT", "RU", "SE", "SG", "TR", "UA", "ZA"),
)
CALLS: Final = 40
BESIDE: Final = 120
INTRODUCTION = """\
# How much is found, and how much wrongly

Measured by `python -m tests.quality_reference --write`; a test holds the page to what the detectors do.

The texts are made, by the same seed each time, from templates and from the formats that issuers publish (check digits
by python-stdnum, number plans by phonenumbers); nothing of them is taken from the detectors' patterns, and nobody's
data is in them. Values stand in chat answers, in code and in technical prose, with near misses around them: order
and tracking numbers, digests, versions, ISBNs, ids, names of packages, placeholders, lock files.

Everything is looked for at once. A value counts as found when no character of it is left under the name of its kind,
and as found under another name when others hide it: a key behind `api_key =` that no other row takes whole is a
`GENERIC_SECRET`. A mark is wrong
when no labelled value is under it. What recall lacks is mostly text that says what a value is *behind* it ("… is the
routing number that the form asks for"), or more than the characters that a detector looks back: hold-back would have to
grow for the first, and false positives for the second.

Names of people, places and organisations are measured on public corpora, and on made code and
prose: see [names.md](names.md).
"""


def reference() -> str:
    """The whole page."""
    find = patterns()
    chat = measure(corpus.chat(SEED, ANSWERS), find)
    code = measure(corpus.code(SEED, PAGES), find)
    prose = measure(corpus.prose(SEED, PAGES), find)
    secrets = sorted({row.entity for row in SECRETS})
    others = sorted(ENTITIES - set(secrets))
    return "\n".join(
        [
            INTRODUCTION,
            *_summary(chat, code, prose),
            *_table("Personal data", others, chat, code, prose),
            *_table("Secrets", secrets, chat, code, prose),
            *_phones(),
        ]
    )


def _phones() -> list[str]:
    lines = [
        "## Telephone numbers without a country code",
        "",
        f"`PHONE` with `regions: [GB]` and so on, a region at a time: recall and precision in {CALLS} chat answers",
        "with numbers of the region, three in ten of them without anything between the digits; false positives in",
        f"10,000 characters of {BESIDE} pages of code and of technical prose. `all` is with all these regions at once.",
        "What recall lacks are digits alone, of regions that dial nothing before a number, with no word such as `call`",
        "near them.",
        "",
        "| region | values | recall | precision | in code | in prose |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    code, prose = corpus.code(SEED, BESIDE), corpus.prose(SEED, BESIDE)
    phone = frozenset({"PHONE"})
    for name, regions in (*((region, (region,)) for region in REGIONS), ("all", REGIONS)):
        find = patterns(phone, regions)
        said = measure(corpus.chat(SEED, CALLS, [national_phones(region) for region in regions]), find, phone).of(
            "PHONE"
        )
        wrong = " | ".join(f"{measure(texts, find, phone).false_positives():.3f}" for texts in (code, prose))
        lines.append(f"| `{name}` | {said.labelled} | {said.recall:.2f} | {said.precision:.2f} | {wrong} |")
    return [*lines, ""]


def _summary(chat: Report, code: Report, prose: Report) -> list[str]:
    lines = [
        "| text | characters | values | recall | under any name | precision | false positives in 10,000 characters |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, report in (("chat answers", chat), ("code", code), ("technical prose", prose)):
        all_of_it = report.total(ENTITIES)
        hidden = (all_of_it.found + all_of_it.named) / all_of_it.labelled
        lines.append(
            f"| {name} | {report.characters:,} | {all_of_it.labelled:,} | {all_of_it.recall:.3f} | {hidden:.3f} "
            f"| {all_of_it.precision:.3f} | {report.false_positives():.3f} |"
        )
    return [*lines, ""]


def _table(title: str, entities: list[str], chat: Report, code: Report, prose: Report) -> list[str]:
    lines = [
        f"## {title}",
        "",
        "Recall and precision in chat answers; false positives in 10,000 characters of code and of technical prose.",
        "",
        "| kind of value | values | recall | under any name | precision | in code | in prose |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for entity in entities:
        score = chat.of(entity)
        if not score.labelled:
            lines.append(f"| `{entity}` | 0 | | | | | |")
            continue
        hidden = (score.found + score.named) / score.labelled
        wrong = " | ".join(f"{report.false_positives([entity]):.3f}" for report in (code, prose))
        lines.append(
            f"| `{entity}` | {score.labelled} | {score.recall:.2f} | {hidden:.2f} | {score.precision:.2f} | {wrong} |"
        )
    return [*lines, ""]


def main(arguments: Sequence[str] | None = None) -> int:
    """See `held`."""
    return held(FILE, reference(), "tests.quality_reference", arguments)


if __name__ == "__main__":
    sys.exit(main())
