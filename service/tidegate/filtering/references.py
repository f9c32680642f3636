"""What a text refers to: addresses of pages and people, and citations, each in one form however it is written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from stdnum import isbn as isbn_numbers
from stdnum.exceptions import ValidationError

from tidegate.filtering.letters import letters_of
from tidegate.filtering.urls import host_of

URL: Final = "UNGROUNDED_URL"
EMAIL: Final = "UNGROUNDED_EMAIL"
CITATION: Final = "UNGROUNDED_CITATION"
MARKER: Final = "UNGROUNDED_MARKER"
UNGROUNDED: Final = frozenset({URL, EMAIL, CITATION, MARKER})
"""What a reference is found as when nothing vouches for it: a page, a person, a work, a number in brackets."""

ISBN: Final = re.compile(r"ISBN(?:-1[03])?:?[ \u00a0]?([0-9](?:[ -]?[0-9]){8,11}[ -]?[0-9Xx])(?![0-9])", re.IGNORECASE)
NUMBERS: Final = re.compile(r"\[([0-9]{1,3}(?:[ ]?[,;\u2013-][ ]?[0-9]{1,3}){0,8})\](?![(\w:\[])")

_AFTER: Final = ".,;:!?'*_~|\u2019"
_PAGE: Final = re.compile(
    r"(?:(?:https?|ftp)://|(?<![\w@/.-])www\.)[^\s<>\"`\[\]{}|\\\u3000-\u303f\uff00-\uffef]+", re.IGNORECASE
)
_PERSON: Final = re.compile(r"(?<![\w.%+-])[\w.%+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])")
_DOI: Final = re.compile(r"(?<![\w.])(?:doi:)?(10\.[0-9]{4,9}/[^\s\"<>\[\]{}|\\]+)", re.IGNORECASE)
_ARXIV: Final = re.compile(
    r"(?<![\w])arxiv:([0-9]{4}\.[0-9]{4,5}|[a-z-]+(?:\.[A-Z]{2})?/[0-9]{7})(?:v[0-9]+)?", re.IGNORECASE
)
_IN_TOKENS: Final = (_PAGE, _PERSON, _DOI, _ARXIV)
_DOI_PAGE: Final = re.compile(r"(?:dx\.)?doi\.org/(10\..+)")
_ARXIV_PAGE: Final = re.compile(r"arxiv\.org/(?:abs|pdf|html)/([^?#]+?)(?:v[0-9]+)?(?:\.pdf)?")
_NAME: Final = r"[A-Z\u00c0-\u00de][\w'\u2019-]{1,40}"
_WORK: Final = re.compile(
    rf"\b({_NAME})(?:,? et al\.?|,? (?:and|&) {_NAME})?,? ((?:1[6-9]|20)[0-9]{{2}})[a-z]?(?![\w-])"
)
_YEAR: Final = re.compile(r"(?<![0-9])(?:1[6-9]|20)[0-9]{2}(?![0-9])")
_NAMES: Final = re.compile(_NAME)
_REACH: Final = 120  # characters before a year in which its authors stand
_MONTHS: Final = frozenset(
    {
        *("january", "february", "march", "april", "may", "june", "july", "august", "september", "october"),
        *("november", "december", "spring", "summer", "autumn", "winter"),
        *("jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec"),
    }
)


class Reference(NamedTuple):
    """`canonical` is the same for whatever refers to the same; `start` and `end` are characters of the text."""

    entity: str
    canonical: str
    start: int
    end: int


def in_token(text: str, start: int, end: int) -> Iterator[Reference]:
    """The references in a piece of a text that holds no space: pages, people, DOIs and arXiv identifiers, by start."""
    if not any(sign in text[start:end] for sign in ("://", "@", "10.", ".")) and ":" not in text[start:end]:
        return
    found = [match for pattern in _IN_TOKENS if (match := pattern.search(text, start, end)) is not None]
    while found:
        first = min(found, key=lambda match: match.start())
        reference = _named(first)
        yield reference
        at = max(reference.end, first.start() + 1)
        nexts = [match if match.start() >= at else match.re.search(text, at, end) for match in found]
        found = [match for match in nexts if match is not None]


def works_in(text: str, start: int, end: int) -> Iterator[Reference]:
    """Citations by author and year within brackets, such as (Doe et al., 2021)."""
    for match in _WORK.finditer(text, start, end):
        if "," in match[0] or " " in match[0].removesuffix(f" {match[2]}"):
            name = letters_of(match[1])
            if name not in _MONTHS:
                yield Reference(CITATION, f"{name} {match[2]}", match.start(), match.end())


def isbn_of(number: str) -> str:
    """The form of an ISBN by which it is compared, "" for what is none."""
    try:
        return f"isbn {isbn_numbers.to_isbn13(isbn_numbers.validate(number))}".replace("-", "").replace(
            "isbn ", "isbn:"
        )
    except ValidationError:
        return ""


def numbers_of(inside: str) -> frozenset[str]:
    """The numbers that brackets name, ranges as their ends."""
    return frozenset(f"[{int(number)}]" for number in re.findall("[0-9]+", inside))


def canonicals(text: str) -> Iterator[str]:
    """Everything that a text refers to, and all that it could be meant to when it is cited: authors before years."""
    for token in re.finditer(r"\S+", text):
        for reference in in_token(text, *token.span()):
            yield reference.canonical
    for number in ISBN.finditer(text):
        if one := isbn_of(number[1]):
            yield one
    for numbers in NUMBERS.finditer(text):
        yield from numbers_of(numbers[1])
    for year in _YEAR.finditer(text):
        for name in _NAMES.finditer(text, max(0, year.start() - _REACH), year.start()):
            yield f"{letters_of(name[0])} {year[0]}"


def _named(match: re.Match[str]) -> Reference:
    start, end = match.span()
    if match.re is _PERSON:
        return Reference(EMAIL, f"mail:{letters_of(match[0])}", start, end)
    if match.re is _ARXIV:
        return Reference(CITATION, f"arxiv:{match[1].lower()}", start, end)
    value = _trimmed(match[0])
    end = start + len(value)
    if match.re is _DOI:
        return Reference(CITATION, f"doi:{_trimmed(match[1]).lower()}", start, end)
    _, sign, rest = value.partition("://")
    page = page_of(rest if sign else value)
    if doi := _DOI_PAGE.fullmatch(page):
        return Reference(CITATION, f"doi:{doi[1].lower()}", start, end)
    if paper := _ARXIV_PAGE.fullmatch(page):
        return Reference(CITATION, f"arxiv:{paper[1].lower()}", start, end)
    return Reference(URL, f"page:{page}", start, end)


def page_of(rest: str) -> str:
    """A page by its host, path and query: without scheme, `www.`, port, fragment and a slash at the end."""
    path = rest.lstrip("/\\").partition("#")[0]
    cut = min((at for at in (path.find("/"), path.find("?")) if at >= 0), default=len(path))
    host = host_of(rest).removeprefix("www.") or path[:cut].lower()  # one that is none is like no other
    return host + path[cut:].rstrip("/")


def _trimmed(value: str) -> str:
    """Without what a sentence or brackets put behind it."""
    while True:
        short = value.rstrip(_AFTER)
        if short.endswith(")") and short.count("(") < short.count(")"):
            short = short[:-1]
        if short == value:
            return value
        value = short
