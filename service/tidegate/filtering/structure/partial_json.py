"""A JSON document that comes in pieces: as soon as no text to come could make it one, it is broken.

RFC 8259, strictly and in one pass: every character is looked at a bounded number of times, however the text is cut.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from tidegate.filtering.structure.schema import MAX_DEPTH

State = Literal["open", "scalar", "done", "broken"]
"""`scalar`: a number or literal by itself, which may go on or be over."""

_BLANK: Final = re.compile(r"[ \t\r\n]*")
_PLAIN: Final = re.compile(r'[^"\\\x00-\x1f]*')
_ESCAPE: Final = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})')
_BEGUN: Final = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?")
_WORD: Final = re.compile(r"[-+.0-9A-Za-z]+")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_NUMBER_BEGUN: Final = re.compile(r"-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?(?:(?<=[0-9])[eE][+-]?[0-9]*)?)?")
_LITERALS: Final = ("true", "false", "null")
_LONGEST: Final = 400  # characters of a number


class PartialJson:
    """One document. `text` is what came of it; `first` its first character that is no blank, "" before it came."""

    def __init__(self) -> None:
        self.state: State = "open"
        self.first = ""
        self._pieces: list[str] = []
        self._rest = ""  # of a token that is not over
        self._open: list[str] = []
        self._wanted = "value"  # value, item, key, member, colon, comma, end
        self._inside = False  # of a string
        self._is_key = False

    @property
    def text(self) -> str:
        """All that came."""
        return "".join(self._pieces)

    def feed(self, text: str) -> State:
        """The next piece."""
        self._pieces.append(text)
        if self.state != "broken":
            self._read(self._rest + text)
        return self.state

    def finish(self) -> State:
        """The text is over: what is still open is broken, and so is a word that is none."""
        if self.state == "scalar":
            self.state = "done" if _is_word(self._rest) else "broken"
            self._rest, self._wanted = "", "end"
        elif self.state == "open":
            self.state = "broken"
        return self.state

    def _read(self, text: str) -> None:
        at, size = 0, len(text)
        self._rest = ""
        while at < size and self.state != "broken":
            at = self._in_string(text, at) if self._inside else self._token(text, at)

    def _in_string(self, text: str, at: int) -> int:
        run = _PLAIN.match(text, at)
        at = run.end() if run else at
        if at == len(text):
            return at
        if text[at] == '"':
            self._inside = False
            self._over(key=self._is_key)
            return at + 1
        escape = _ESCAPE.match(text, at)
        if escape is not None:
            return escape.end()
        if _BEGUN.fullmatch(text, at) is not None:
            self._rest = text[at:]
        else:
            self.state = "broken"
        return len(text)

    def _token(self, text: str, at: int) -> int:
        run = _BLANK.match(text, at)
        at = run.end() if run else at
        if at == len(text):
            return at
        char = text[at]
        self.first = self.first or char
        if char in "{[" and self._wanted in ("value", "item"):
            self._open.append(char)
            self._wanted = "member" if char == "{" else "item"
            self._break_if(len(self._open) > MAX_DEPTH)
        elif char in "}]":
            self._close(char)
        elif char == '"' and self._wanted in ("value", "item", "key", "member"):
            self._inside, self._is_key = True, self._wanted in ("key", "member")
        elif char == ":" and self._wanted == "colon":
            self._wanted = "value"
        elif char == "," and self._wanted == "comma":
            self._wanted = "key" if self._open[-1] == "{" else "value"
        elif self._wanted in ("value", "item"):
            return self._word(text, at)
        else:
            self.state = "broken"
        return at + 1

    def _word(self, text: str, at: int) -> int:
        run = _WORD.match(text, at)
        if run is None:
            self.state = "broken"
        elif run.end() == len(text):
            self._rest = run[0]
            self._break_if(not _may_be_word(run[0]))
            if not self._open and self.state == "open":
                self.state = "scalar"
        else:
            self._break_if(not _is_word(run[0]))
            self._over(key=False)
        return run.end() if run else at

    def _close(self, char: str) -> None:
        fits = bool(self._open) and self._open[-1] == ("{" if char == "}" else "[")
        empty = self._wanted == ("member" if char == "}" else "item")
        if fits and (empty or self._wanted == "comma"):
            self._open.pop()
            self._over(key=False)
        else:
            self.state = "broken"

    def _over(self, *, key: bool) -> None:
        """A key, or a value, is over."""
        self._wanted = "colon" if key else "comma" if self._open else "end"
        if self._wanted == "end" and self.state != "broken":
            self.state = "done"

    def _break_if(self, fault: bool) -> None:
        if fault:
            self.state = "broken"


def _is_word(word: str) -> bool:
    return len(word) <= _LONGEST and (word in _LITERALS or _NUMBER.fullmatch(word) is not None)


def _may_be_word(word: str) -> bool:
    if len(word) > _LONGEST:
        return False
    return any(one.startswith(word) for one in _LITERALS) or _NUMBER_BEGUN.fullmatch(word) is not None
