"""Which format reads a content type (RFC 9110, section 8.3.1)."""

from __future__ import annotations

import re
from functools import lru_cache

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - the grammar's word
_TYPE = re.compile(rf"[ \t]*({_TOKEN}/{_TOKEN})[ \t]*")
_PARAMETER = re.compile(rf';[ \t]*(?:({_TOKEN})=(?:({_TOKEN})|"((?:[^"\\]|\\.)*)"))?[ \t]*')
_CHARSETS = frozenset({"", "utf-8", "utf8", "us-ascii", "ascii"})
_JSON = frozenset({"application/json", "text/json", "text/x-json"})
_NDJSON = frozenset(
    {"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"}
    | {"application/stream+json"}  # Spring's and Cohere's name for it
)

_MAX_USUAL = 64  # what is longer must not fill the cache


def format_of(content_type: str) -> str:
    """ "json", "ndjson", "sse", "csv" or "text"; "" when no format reads the type or its charset, or it is broken."""
    return _usual(content_type) if len(content_type) <= _MAX_USUAL else _format(content_type)


def _format(content_type: str) -> str:
    parsed = _parse(content_type)
    if parsed is None:
        return ""
    media, parameters = parsed
    charsets = [value for name, value in parameters if name == "charset"]
    if len(charsets) > 1 or not _CHARSETS.issuperset(charsets):
        return ""
    if media in _NDJSON:
        return "ndjson"
    if media in _JSON or media.endswith("+json"):
        return "json"
    if media == "text/event-stream":
        return "sse"
    if media in ("text/csv", "application/csv"):
        return "csv"
    return "text" if media.startswith("text/") else ""


_usual = lru_cache(maxsize=256)(_format)


def _parse(content_type: str) -> tuple[str, list[tuple[str, str]]] | None:
    head = _TYPE.match(content_type)
    if head is None:
        return None
    parameters = []
    end = head.end()
    while end < len(content_type):
        part = _PARAMETER.match(content_type, end)
        if part is None:
            return None
        end = part.end()
        name, word, quoted = part.groups()
        if name:
            value = word if word is not None else re.sub(r"\\(.)", r"\1", quoted)
            parameters.append((name.lower(), value.lower()))
    return head[1].lower(), parameters
