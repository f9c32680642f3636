"""Where a link leads, as a browser would take it (WHATWG URL, HTML), whatever it is written like; and who may be there.

Anything odd is not allowed: hosts are compared with a list after they have been brought into one form, so that an
address as a number, a look-alike or a name with a user before it need not be understood to be turned down.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from enum import Enum
from typing import Final
from urllib.parse import unquote

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.DOTALL)
_RELATIVE: Final = re.compile(r"(?![\x00-\x20])(?:[/\\](?![/\\\t\n\r])|(?![/\\]))[^:&\\\t\n\r]*\Z")
_IGNORED: Final = re.compile(r"[\t\n\r]+")  # the URL standard drops them wherever they stand
_EDGES: Final = "".join(map(chr, range(0x21)))  # and these at the ends
_ESCAPED: Final = re.compile(r"\\([!-/:-@\[-`{-~])")  # CommonMark 2.4
_PORT: Final = re.compile(r":[0-9]*\Z")
_RASTER: Final = re.compile(r"image/(?:png|jpe?g|gif|webp|avif|bmp)[;,]", re.IGNORECASE)

_QUOTATION: Final = re.compile(r"\n[ \t]*(?:>[ \t]*)+")  # how its next line begins (CommonMark 5.1)
DEVIATES: Final = re.compile("[\xdf\u03c2\u200c\u200d]")
"""Letters that are others in IDNA 2003, and that browsers take as they are (UTS #46, 2.3)."""

_PATH: Final = re.compile(r"[/\\?#]")
_ORDINARY: Final = re.compile(r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*+")  # is what it stands for
_NAME: Final = re.compile(r"[a-z0-9._-]*")
_LONGEST_HOST: Final = 253 * 3  # as it may be escaped

_SPECIAL: Final = frozenset({"http", "https", "ws", "wss", "ftp", "ftps"})
_SCRIPTS: Final = frozenset({"javascript", "vbscript", "livescript", "mocha"})
_HARMLESS: Final = frozenset({"mailto", "tel", "sms", "cid"})


class Leads(Enum):
    """What following a target comes to."""

    NOWHERE = 0  # it stays where it is shown, or asks the reader first
    OUT = 1  # to a host that is not allowed
    CODE = 2  # it runs, or is a document of its own


class Hosts:
    """The hosts that links may lead to: names, and `*.` before a name for all below it."""

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        listed = frozenset(
            ("*." if host.startswith("*.") else "") + host_of(host.removeprefix("*.")) for host in allowed
        )
        self._exact = frozenset(host for host in listed if not host.startswith("*.")) - {""}
        self._below = frozenset(host[2:] for host in listed if host.startswith("*.")) - {""}

    def __contains__(self, host: str) -> bool:
        if host in self._exact:
            return True
        labels = host.split(".")
        return any(".".join(labels[at:]) in self._below for at in range(1, len(labels)))

    def leads(self, target: str, *, image: bool, guess: bool = False) -> Leads:
        """Where a target leads that stands in an attribute or in Markdown: the worst of all that it may mean there.

        `image` is for what is fetched without being asked for; a `guess` is nothing that would also be said otherwise.
        """
        if _RELATIVE.match(target):
            return Leads.NOWHERE
        target = _QUOTATION.sub("\n", target)
        readings = {target, html.unescape(target), html.unescape(_ESCAPED.sub(r"\1", target))}
        return max((self._leads(reading, image, guess) for reading in readings), key=lambda leads: leads.value)

    def _leads(self, target: str, image: bool, guess: bool) -> Leads:
        url = _IGNORED.sub("", target.strip(_EDGES))
        named = _SCHEME.fullmatch(url)
        if named is None:
            there = self._there(url) if re.match(r"[/\\]{2}", url) else Leads.NOWHERE
            return Leads.NOWHERE if there is Leads.NOWHERE or (guess and "." not in host_of(url)) else there
        scheme, rest = named[1].lower(), named[2]
        if scheme in _SPECIAL:
            return self._there(rest)
        if scheme in _SCRIPTS:
            return Leads.CODE
        if guess and (scheme != "data" or "/" not in rest):
            return Leads.NOWHERE
        if scheme == "data":
            return Leads.NOWHERE if image and _RASTER.match(rest.lstrip()) else Leads.CODE
        return Leads.NOWHERE if scheme in _HARMLESS else Leads.OUT

    def _there(self, rest: str) -> Leads:
        host = host_of(rest)
        return Leads.NOWHERE if not rest.strip("/\\") or host in self else Leads.OUT


def host_of(rest: str) -> str:
    """The host of what follows a scheme, in lower case and ASCII; "" for none that could be one."""
    authority = _PATH.split(rest.lstrip("/\\"), 1)[0]
    host = _PORT.sub("", authority.rpartition("@")[2])
    if len(host) > _LONGEST_HOST:
        return ""
    if host.startswith("["):
        return host.lower()
    if _ORDINARY.fullmatch(host):
        return host.lower()
    try:
        decoded = unquote(host, errors="strict").rstrip(".")
        name = decoded.encode("idna").decode("ascii").lower()
    except (UnicodeError, ValueError):
        return ""
    return name if _NAME.fullmatch(name) and not DEVIATES.search(decoded) else ""
