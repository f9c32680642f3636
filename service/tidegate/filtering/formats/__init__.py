"""Bodies: what of a response is text, and how rewritten text goes back into it."""

from __future__ import annotations

from tidegate.filtering.formats.body import BodyRewriter
from tidegate.filtering.formats.coverage import WHOLE, Coverage, Progress
from tidegate.filtering.formats.csv_body import CsvBody
from tidegate.filtering.formats.decoded import decoded, decodes
from tidegate.filtering.formats.json_body import JsonBody
from tidegate.filtering.formats.listening import Listening, Observer
from tidegate.filtering.formats.media_type import format_of
from tidegate.filtering.formats.ndjson import NdjsonBody
from tidegate.filtering.formats.shadow import ShadowBody
from tidegate.filtering.formats.sse import SseBody
from tidegate.filtering.formats.text import TextBody
from tidegate.filtering.formats.unread import UnreadBody
from tidegate.filtering.ruleset import FilterPlan

__all__ = [
    "WHOLE",
    "BodyRewriter",
    "Coverage",
    "Listening",
    "Observer",
    "Progress",
    "decoded",
    "decodes",
    "format_of",
    "listen",
    "open_body",
]


def open_body(
    content_type: str,
    plan: FilterPlan,
    *,
    key: bytes = b"",
    max_bytes: int,
    max_event: int = 262144,
    tail: bool = False,
    observer: Observer | None = None,
) -> BodyRewriter | None:
    """A rewriter for `content_type`, or None when no format reads it.

    `max_bytes` caps what is held, which for JSON is the whole body; `max_event` caps one server-sent event, one line of
    NDJSON or one row of CSV. With `tail` an event stream ends with its receipt in a comment, since its headers left
    long before. `observer` is shown what is read, as it was before it is rewritten. By a plan that changes nothing
    every byte leaves as and when it comes.
    """
    kind = format_of(content_type)
    if kind and not plan.actions:
        return UnreadBody(kind, "no_ruleset")
    body: BodyRewriter
    match kind:
        case "json":
            body = JsonBody(plan, key=key, max_bytes=max_bytes, observer=observer)
        case "ndjson":
            body = NdjsonBody(plan, key=key, max_bytes=max_bytes, max_line=max_event, observer=observer)
        case "sse":
            body = SseBody(plan, key=key, max_bytes=max_bytes, max_event=max_event, tail=tail, observer=observer)
        case "csv":
            body = CsvBody(plan, key=key, max_bytes=max_bytes, max_row=max_event, observer=observer)
        case "text":
            body = TextBody(plan, key=key, max_bytes=max_bytes, observer=observer)
        case _:
            return None
    return ShadowBody(body) if plan.shadow else body


def listen(content_type: str, observer: Observer, *, max_bytes: int) -> Listening | None:
    """Shows `observer` a body that passes unchanged; None when no format reads it. `max_bytes` caps what is held."""
    kind = format_of(content_type)
    return Listening(kind, observer, max_bytes=max_bytes) if kind else None
