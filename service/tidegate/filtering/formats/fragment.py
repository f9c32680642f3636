"""JSON in pieces: text that a model writes as JSON, cut anywhere, read string by string as it comes.

The lexer is lenient. Whatever cannot be JSON turns the rest of the text into plain text, so that nothing is left unread
because it looked like JSON at first. Escapes leave in their shortest form: the document is equal, not its bytes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tidegate.filtering.formats.json_text import BLANK, NUMBER, VALID, quote, unquote
from tidegate.filtering.formats.titles import LONGEST

if TYPE_CHECKING:
    from tidegate.filtering.formats.reader import Reader, Run

_BLANK = re.compile(r"[ \t\r\n]++")
_SCALAR = re.compile(r'[^ \t\r\n{}\[\],:"]++')
_NUMERIC = re.compile(r"-?[0-9][0-9.eE+-]*+|-")
_LITERALS = ("true", "false", "null")
_MAX_SCALAR = 512
_WORTH_SIFTING = 512
_LITERAL_TEXT = re.compile(r'[^"\\]++')
_ESCAPE = re.compile(
    r'\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(["\\/bfnrt]))'
)
_UNFINISHED = re.compile(
    r"\\(?:u(?:[0-9a-fA-F]{0,3}|[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u(?:[dD](?:[c-fC-F][0-9a-fA-F]?)?)?)?)?))?"
)
_SHORT = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class JsonFragment:
    """The text of one field, read as JSON at level `nesting`."""

    def __init__(self, reader: Reader, where: str, nesting: int) -> None:
        self._reader = reader
        self._where = where
        self._nesting = nesting
        self._scalar = ""  # a number or literal, and blanks after it, until what follows shows that it is one
        self._escape = ""  # an escape that is not complete
        self._string: Run | None = None  # the string that is open
        self._plain: Run | None = None  # the rest, once it proved to be no JSON
        self._last = ""  # the string that was read last, as far as it may be a name
        self._name = ""  # what the next string stands under

    @property
    def held(self) -> int:
        """How many characters are held back."""
        inner = self._plain or self._string
        return len(self._scalar) + len(self._escape) + (inner.held if inner else 0)

    def feed(self, text: str) -> str:
        """The next piece; what may leave now."""
        text, self._escape = self._escape + text, ""
        if len(text) >= _WORTH_SIFTING and self._plain is None:
            self._reader.sift(unquote(token[0]) for token in VALID.finditer(text))
        out: list[str] = []
        at = 0
        while at < len(text) and not self._reader.stopped():
            if self._plain is not None:
                out.append(self._plain.feed(text[at:]))
                break
            at = self._outside(text, at, out) if self._string is None else self._inside(text, at, out)
        return "".join(out)

    def finish(self) -> str:
        """The text is over, in mid-string perhaps; the rest of it."""
        out: list[str] = []
        if self._reader.stopped():
            return ""
        if self._string is not None:
            if self._escape.startswith("\\u") and len(self._escape) >= 6:  # a high surrogate and no low one
                out.append(self._body(self._string.feed(chr(int(self._escape[2:6], 16)))))
                self._escape = self._escape[6:]
            out += [self._body(self._string.finish()), self._escape]
        elif self._plain is None and self._scalar:
            out.append(self._settle() if self._is_scalar() else self._give_up(""))
        if self._plain is not None:
            out.append(self._plain.finish())
        return "".join(out)

    def _outside(self, text: str, at: int, out: list[str]) -> int:
        char = text[at]
        if blank := _BLANK.match(text, at):
            if self._scalar:
                self._scalar += blank[0]
            else:
                out.append(blank[0])
            end = blank.end()
        elif scalar := _SCALAR.match(text, at):
            if not self._extend(scalar[0]):
                out.append(self._give_up(text[at:]))
                return len(text)
            end = scalar.end()
        else:
            if self._scalar and (char not in ",]}" or not self._is_scalar()):
                out.append(self._give_up(text[at:]))
                return len(text)
            out.append(self._settle())
            if char == '"':
                return self._open(text, at, out)
            self._name, self._last = self._last if char == ":" else "", ""
            out.append(char)
            end = at + 1
        if len(self._scalar) > _MAX_SCALAR:
            out.append(self._give_up(text[end:]))
            return len(text)
        return end

    def _open(self, text: str, at: int, out: list[str]) -> int:
        """A string begins. One that is here to its end, and is no JSON itself, needs no run."""
        out.append('"')
        token = VALID.match(text, at)
        name, self._name, self._last = self._name, "", ""
        if token is not None and (old := unquote(token[0])).lstrip(BLANK)[:1] not in ("{", "["):
            out.append(self._body(self._reader.whole(old, name=name)))
            if not self._reader.stopped():
                out.append('"')
            self._last = old[: LONGEST + 1]
            return token.end()
        self._string = self._reader.run(self._where, nesting=self._nesting, name=name)
        return at + 1

    def _extend(self, piece: str) -> bool:
        """Take a piece of a number or literal; False when it cannot be one."""
        word = self._scalar + piece
        if _NUMERIC.fullmatch(word) or any(literal.startswith(word) for literal in _LITERALS):
            self._scalar = word
            return True
        return False

    def _is_scalar(self) -> bool:
        word = self._scalar.rstrip()
        return word in _LITERALS or NUMBER.fullmatch(word) is not None

    def _settle(self) -> str:
        held, self._scalar = self._scalar, ""
        word = held.rstrip()
        if not word or word in _LITERALS:
            return held
        new, was_read = self._reader.number(word, name=self._name)
        if not was_read:
            self._reader.tally.skip("number")
            self._reader.tally.scanned_bytes -= len(word)  # the text that it stands in counts as a whole
        return new + held[len(word) :]

    def _give_up(self, rest: str) -> str:
        self._plain = self._reader.plain(self._where)
        text, self._scalar = self._scalar + rest, ""
        return self._plain.feed(text)

    def _inside(self, text: str, at: int, out: list[str]) -> int:
        string = self._string
        assert string is not None  # noqa: S101 - the caller's case
        pieces: list[str] = []
        closed = False
        while at < len(text):
            if literal := _LITERAL_TEXT.match(text, at):
                pieces.append(literal[0])
                at = literal.end()
            elif text[at] == '"':
                at += 1
                closed = True
                break
            elif _UNFINISHED.fullmatch(text, at):
                self._escape = text[at:]
                at = len(text)
            elif escape := _ESCAPE.match(text, at):
                pieces.append(_decode(escape))
                at = escape.end()
            else:
                pieces.append("\\")
                at += 1
        if len(self._last) <= LONGEST:
            self._last += "".join(pieces)
        new = string.feed("".join(pieces))
        if closed:
            new += string.finish()
            self._string = None
        out.append(self._body(new))
        if closed and not self._reader.stopped():
            out.append('"')
        return at

    @staticmethod
    def _body(text: str) -> str:
        return quote(text)[1:-1]


def _decode(escape: re.Match[str]) -> str:
    high, low, code, short = escape.groups()
    if short is not None:
        return _SHORT.get(short, short)
    if code is not None:
        return chr(int(code, 16))
    return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + (int(low, 16) - 0xDC00))
