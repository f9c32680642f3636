"""Telephone numbers as the people of a region write them among themselves: the rows of `PHONE` for a plan's regions.

Without its country code a number is one by its plan alone, and what is a number in one region is a date, a price or an
order in another. So these rows are not of the table: a policy names the regions, and each row tries the plans of all.
Plans, trunk prefixes and groupings are those of libphonenumber (`phonenumbers`).

A number with the trunk prefix of its region (0, in Russia 8, in Hungary 06) may be grouped in any way, or not at all.
One of a region that dials none needs the groups that are usual there, or a word such as `call` before it: nine digits
by themselves are anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Final

import phonenumbers
from phonenumbers import PhoneMetadata

from tidegate.filtering.detector import ANCHORED, Accept, Detector, Match, Span, matcher

ENTITY: Final = "PHONE"
REGIONS: Final = frozenset(phonenumbers.SUPPORTED_REGIONS)
"""ISO 3166-1 codes of the regions whose plans are known."""

_KINDS: Final = (
    "fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "personal_number", "voip", "pager", "uan",
    "voicemail",
)  # fmt: skip
_LEAST: Final = 7
"""Digits of the shortest number: shorter ones are no one's own."""

_FICTION: Final = {"GB": (r"1632960\d{3}", r"7700900\d{3}"), "FR": (r"63998\d{4}",)}
"""Ranges that regulators (Ofcom, ARCEP) keep for films and documents, where libphonenumber has no numbers: people try
a policy with them, as with 555-01xx."""

_NANP: Final = 1
_NATIONAL: Final = phonenumbers.PhoneNumberFormat.NATIONAL
_SEPARATOR: Final = r"[ .\x2f-]{1,3}"
_MORE: Final = rf"(?:{_SEPARATOR}[0-9]{{2,10}})"
_WORDS: Final = (
    r"phone|telephone|tele?phone[ _]?number|tel|telefon|telefono|tel\xc0fono|t\xc0l\xc0phone|telefoon|telefone|mobile"
    r"|mobil|m\xc0vil|celular|cellulare|portable|handy|cell|call(?:ed|ing)?|ring|rang|text(?:ed)?|sms|whatsapp|signal|fax"
    r"|dial(?:led)?|hotline|reach(?:ed)?|appele[rz]?|anrufen|ruf|llama[dr]?|bel"
)
_NOT_DIGITS: Final = bytes(byte for byte in range(256) if not 0x30 <= byte <= 0x39)
_GROUP_END: Final = re.compile(rb"\d(?!\d)")
_GOES_ON: Final = re.compile(rb"[.-]\d")
_NO_MORE: Final = r"[^0-9A-Za-z.-]|\.[^0-9]|-[^0-9A-Za-z]"
_NO_GROUP: Final = r"[^0-9A-Za-z. -]|\.[^0-9]|-[^0-9A-Za-z]|[ ](?:[^0-9]|[0-9]{1,2}[^0-9])"
_GROUP: Final = re.compile(r"\(\\d(?:\{(\d+)(?:,(\d+))?\})?\)")
_NORTH_AMERICAN: Final = re.compile(rb"(?:1[ .-]?)?\(?[2-9]\d\d\)?[ .\x2f-]{0,3}[2-9]\d\d[ .-]{1,3}\d{4}")
_NO_NUMBER: Final = re.compile(
    rb"(?:19|20)\d\d[ .\x2f-]{1,3}\d\d?[ .\x2f-]{1,3}\d\d?\b"
    rb"|\d\d?[ .\x2f-]{1,3}\d\d?[ .\x2f-]{1,3}(?:19|20)?\d\d\b(?![ .\x2f-]{1,3}\d)"
    rb"|[012]\d\.[0-5]\d[ -]{1,3}[012]\d\.[0-5]\d"
)
"""Dates, and hours from and to."""


def rows(regions: frozenset[str]) -> tuple[Detector, ...]:
    """What finds the national numbers of these regions: none, where every one of them is of the NANP, as those of the
    United States, which have a row of the table."""
    return _rows(frozenset(region for region in regions if _metadata(region).country_code != _NANP))


@lru_cache(maxsize=64)
def _rows(regions: frozenset[str]) -> tuple[Detector, ...]:
    chosen = sorted(regions)
    dialled, grouped = _dialled(chosen), _grouped(chosen)
    return (*dialled, *grouped, _by_word(chosen)) if chosen else ()


def _dialled(regions: Sequence[str]) -> Iterator[Detector]:
    """With what is dialled before them: in brackets, before brackets, or with any groups."""
    trunks = dict.fromkeys(trunk for region in regions if (trunk := _begins(region)))
    if not trunks:
        return
    area, rest = r"[1-9][0-9]{0,5}", rf"[ .\x2f-]{{0,3}}[0-9]{{1,10}}{_MORE}{{0,3}}"
    plain = "|".join(rf"{trunk}[ -]?(?:[1-9][0-9]{{0,11}}{_MORE}{{0,4}}|\({area}\){rest})" for trunk in trunks)
    bracketed = "|".join(rf"\({trunk}[ -]?{area}\){rest}" for trunk in trunks)
    numbers = matcher("|".join(rf"{_trunk(region)}(?:{plan_of(region)})" for region in regions if _begins(region)))
    yield _row("national", plain, bracketed, _longest(lambda _, digits: _all_of(numbers, digits)))


def _grouped(regions: Sequence[str]) -> Iterator[Detector]:
    """In the groups that are usual in the region."""
    layouts = {region: found for region in regions if (found := list(_layouts(region)))}
    if not layouts:
        return
    every = sorted(
        {layout for found in layouts.values() for layout in found}, key=lambda layout: (-len(layout), layout)
    )
    plain, bracketed = "|".join(map(_plain, every)), "|".join(map(_bracketed, every))
    some = matcher("|".join(map(plan_of, layouts)))
    written = [
        (matcher("|".join((*map(_plain, found), *map(_bracketed, found)))), matcher(plan_of(region)))
        for region, found in layouts.items()
    ]

    def is_number(text: bytes, digits: bytes) -> bool:
        return _all_of(some, digits) and any(_all_of(one, text) and _all_of(plan, digits) for one, plan in written)

    yield _row("national-grouped", plain, bracketed, _longest(is_number), guard=r"(?<![0-9][ ])", ahead=_NO_GROUP)


def _by_word(regions: Sequence[str]) -> Detector:
    """Behind a word, with any groups or none, and without what is dialled before."""
    numbers = matcher("|".join(rf"(?:{_trunk(region)})?(?:{plan_of(region)})" for region in regions))
    body = r"[0-9]{7,13}|[0-9]{1,5}(?:[ .-][0-9]{2,8}){1,4}"
    return _row("national-by-word", body, "", _longest(lambda _, digits: _all_of(numbers, digits)), near=_WORDS)


def e164(number: str, regions: frozenset[str]) -> str:
    """A number without its country code with it, by the plan of one of the regions; "" where none has it.

    Of several it is of the one that groups it so, else of the first by its code: first among those that write it so,
    then, if it looks like no number of the NANP, among those that have such numbers.
    """
    text = number.encode("latin-1", "replace")
    plans = [(region, rows(frozenset({region}))) for region in sorted(regions)]
    found = [region for region, known in plans if any(_is_all(row, text) for row in known[:-1])]
    if not found and not _NORTH_AMERICAN.fullmatch(text):
        found = [region for region, known in plans if any(_is_all(row, text) for row in known[-1:])]
    parsed = [phonenumbers.parse(number, region) for region in found]
    groups = re.findall(r"\d+", number)
    parsed.sort(key=lambda one: re.findall(r"\d+", phonenumbers.format_number(one, _NATIONAL)) != groups)
    return phonenumbers.format_number(parsed[0], phonenumbers.PhoneNumberFormat.E164) if parsed else ""


def _is_all(row: Detector, text: bytes) -> bool:
    match = row.exact.match(text)
    return match is not None and row.accept(match) == (0, len(text))


def _row(
    name: str, plain: str, bracketed: str, accept: Accept, *, guard: str = "", ahead: str = _NO_MORE, near: str = ""
) -> Detector:
    begins = rf"(?:\b|[_nrt])(?:{plain})"
    return Detector(
        entity=ENTITY,
        name=name,
        near=near,
        within=20 if near else 0,
        guard=rf"(?:(?<![0-9A-Za-z+])(?<![0-9A-Za-z]-)(?<![0-9][.,]){guard}|(?<=\\[nrt]))",
        body=f"{bracketed}|{plain}" if bracketed else plain,
        trigger=f"{begins}|{bracketed}" if bracketed else begins,
        loose=True,
        ahead=ahead,
        accept=accept,
        check="number plan of the region",
        positives=(),
        negatives=(),
    )


def _longest(is_number: Callable[[bytes, bytes], bool]) -> Accept:
    def national(match: re.Match[bytes]) -> Span | None:
        """The longest run of groups that is a number, and not a part of one that a hyphen or a point goes on with."""
        text = match[0]
        if _NO_NUMBER.match(text):
            return None
        for end in reversed([group.end() for group in _GROUP_END.finditer(text)]):
            digits = text[:end].translate(None, _NOT_DIGITS)
            if len(digits) < _LEAST + (digits[:1] == b"0"):
                return None
            if is_number(text[:end], digits) and not _GOES_ON.match(text, end):
                return match.start(), match.start() + end
        return None

    return national


def _all_of(pattern: Match, text: bytes) -> bool:
    return bool(pattern(ANCHORED, text, 0, len(text))[0][0] == 0)


def _metadata(region: str) -> PhoneMetadata:
    found = PhoneMetadata.metadata_for_region(region)
    if found is None:
        raise ValueError(f"no plan of {region}")
    return found


def _trunk(region: str) -> str:
    """A pattern of what is dialled before a number inside of its region; "" where that is nothing."""
    plan = _metadata(region)
    prefix = plan.national_prefix or ""
    # Belarus dials 8 and then 0.
    return f"{prefix}0?" if any(_rule(each).startswith(f"{prefix} 0") for each in plan.number_format) else prefix


def _begins(region: str) -> str:
    """The same, and the zero that numbers in Italy begin with: what begins so needs no groups."""
    example = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.FIXED_LINE)
    return _trunk(region) or ("0" if example is not None and example.italian_leading_zero else "")


def _rule(layout: phonenumbers.NumberFormat) -> str:
    return layout.national_prefix_formatting_rule or ""


def _layouts(region: str) -> Iterator[tuple[tuple[int, int], ...]]:
    """How numbers are written that nothing is dialled before: the least and the most digits of each group."""
    plan = _metadata(region)
    for layout in plan.number_format:
        prefix, optional = plan.national_prefix, layout.national_prefix_optional_when_formatting
        sizes = tuple((int(low or 1), int(high or low or 1)) for low, high in _GROUP.findall(layout.pattern or ""))
        free = not prefix or prefix not in _rule(layout) or optional
        if free and len(sizes) > 1 and sum(low for low, _ in sizes) >= _LEAST:
            yield sizes


def _plain(layout: tuple[tuple[int, int], ...]) -> str:
    first, *others = layout
    return "[ -]".join([_first(*first), *(_digits(*size) for size in others)])


def _bracketed(layout: tuple[tuple[int, int], ...]) -> str:
    first, *others = layout
    return rf"\({_first(*first)}\)[ -]?{'[ -]'.join(_digits(*size) for size in others)}"


def _first(low: int, high: int) -> str:
    return f"[1-9]{_digits(low - 1, high - 1)}" if high > 1 else "[1-9]"


def _digits(low: int, high: int) -> str:
    return f"[0-9]{{{low},{high}}}" if high > low else f"[0-9]{{{low}}}"


def plan_of(region: str) -> str:
    """A pattern of the digits of the region's numbers, without what is dialled before; `_FICTION` among them."""
    kinds = [getattr(_metadata(region), name) for name in _KINDS]
    found = [kind.national_number_pattern for kind in kinds if kind and kind.national_number_pattern]
    return "|".join([*found, *_FICTION.get(region, ())])
