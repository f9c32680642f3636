"""Where markup leads: what a target is by where it stands, where it ends, and what comes of showing it."""

from __future__ import annotations

import html
import re
from enum import Enum, auto
from typing import Final, NamedTuple

from tidegate.filtering.open_tag import QUOTES
from tidegate.filtering.urls import Hosts, Leads

LONGEST: Final = 2048
"""Characters of a target that are looked at as one; what goes on with it belongs to it, piece by piece."""

ACTIVE_CONTENT: Final = "ACTIVE_CONTENT"
EXTERNAL_IMAGE: Final = "EXTERNAL_IMAGE"
EXTERNAL_LINK: Final = "EXTERNAL_LINK"
MARKUP: Final = frozenset({ACTIVE_CONTENT, EXTERNAL_IMAGE, EXTERNAL_LINK})
"""What can be found: what runs, what is fetched by itself, what is fetched when the reader follows it."""

INLINE: Final = re.compile(r"[\s\x00-\x1f)]", re.ASCII)
ANGLED: Final = re.compile(r"[<>\n]")
SPACED: Final = re.compile(r"\s", re.ASCII)
PLAIN: Final = re.compile(r"[\s>]", re.ASCII)
QUOTED: Final = {quote: re.compile(quote) for quote in QUOTES}
ADDRESSED: Final = re.compile(r"(?:https?|wss?|ftps?):[/\\]{2}", re.ASCII | re.IGNORECASE)

_STYLE_URL: Final = re.compile(r"(?:url|src|image)\(\s*[\"']?([^\"')]*)", re.ASCII | re.IGNORECASE)
_STYLE_CODE: Final = re.compile(
    r"\\|expression\s*\(|@import|image-set|-moz-binding|behavior\s*:", re.ASCII | re.IGNORECASE
)
_PAIRS: Final = re.compile(r"\\[!-/:-@\[-`{-~]|[()\s\x00-\x1f]", re.ASCII)
_PARTS: Final = 64  # of a srcset
_LINKS: Final = frozenset({"action", "formaction", "cite", "longdesc"})


class Kind(Enum):
    """What a target is, and so what it does."""

    IMAGE = auto()
    LINK = auto()
    CODE = auto()
    STYLE = auto()
    SET = auto()


class Target(NamedTuple):
    """A target that is expected; `ends` is what ends it."""

    kind: Kind
    name: str
    ends: re.Pattern[str]
    markdown: bool = False
    guess: bool = False  # it is one if what stands before it becomes a pair of brackets


BARE: Final = Target(
    Kind.LINK,
    "url",
    re.compile(
        r"[\s<>\"`\[\]\u3000-\u3004\u3008-\u3020\u3030\u303d\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65]"
    ),
)
"""An address that stands in the text by itself. Signs of Chinese and Japanese end it, letters of theirs do not."""

AFTER_VALUE: Final = {
    "(": Target(Kind.IMAGE, "after-a-value", INLINE, markdown=True, guess=True),
    ":": Target(Kind.IMAGE, "after-a-value", SPACED, markdown=True, guess=True),
}
"""Behind a value that is redacted to [...], ( begins the target of a link, and : that of a reference."""


def attribute(name: str, *, links: bool) -> Target:
    """The target of an attribute, by its name in lower case; `links` is for a tag of which `href` is followed."""
    if name.startswith("on") or name == "srcdoc":
        return Target(Kind.CODE, "event-handler" if name.startswith("on") else name, PLAIN)
    if name == "style":
        return Target(Kind.STYLE, name, PLAIN)
    if name in ("srcset", "imagesrcset"):
        return Target(Kind.SET, name, PLAIN)
    link = name in _LINKS or (name == "href" and links)
    return Target(Kind.LINK if link else Kind.IMAGE, name, PLAIN)


def end_of(target: Target, text: str, start: int) -> int | None:
    """Where a target ends that begins at `start`; None where it is not over, or too long."""
    limit = start + LONGEST
    if target.ends is not INLINE:
        end = target.ends.search(text, start, limit)
        return None if end is None else end.start()
    depth = 0
    for sign in _PAIRS.finditer(text, start, limit):
        match sign[0]:
            case "(":
                depth += 1
            case ")" if depth:
                depth -= 1
            case one if len(one) == 1:
                return sign.start()
    return None


def judged(target: Target, value: str, hosts: Hosts) -> str:
    """What a target is, "" for nothing that counts."""
    image = target.kind is not Kind.LINK
    match target.kind:
        case Kind.CODE:
            return ACTIVE_CONTENT if value.strip() else ""
        case Kind.STYLE:
            style = html.unescape(value)
            parts = _STYLE_URL.findall(style)
            worst = Leads.CODE if _STYLE_CODE.search(style) else Leads.NOWHERE
        case Kind.SET:
            parts = [part.split()[0] for part in html.unescape(value).split(",") if part.split()]
            worst = Leads.NOWHERE if len(parts) <= _PARTS else Leads.OUT
            parts = parts[:_PARTS]
        case _:
            parts, worst = [value], Leads.NOWHERE
    worst = max(
        (worst, *(hosts.leads(part, image=image, guess=target.guess) for part in parts)),
        key=lambda leads: leads.value,
    )
    match worst:
        case Leads.NOWHERE:
            return ""
        case Leads.CODE:
            return ACTIVE_CONTENT
    return EXTERNAL_IMAGE if image else EXTERNAL_LINK
