"""A body's rewriter, and beside it who holds what it lets out to a structure."""

from __future__ import annotations

from tidegate.filtering.formats.body import BodyRewriter
from tidegate.filtering.formats.media_type import format_of
from tidegate.filtering.formats.shadow import ShadowBody
from tidegate.filtering.formats.unread import UnreadBody
from tidegate.filtering.structure.body import StructuredJson
from tidegate.filtering.structure.demand import Structure
from tidegate.filtering.structure.stream import StructuredStream


def structured(body: BodyRewriter, content_type: str, structure: Structure, *, max_bytes: int) -> BodyRewriter | None:
    """`body`, held to a structure; None where it is of a format that no structure is known of.

    Under a structure that only annotates, a body that leaves byte for byte still does.
    """
    kind = format_of(content_type)
    document = structure.body is not None and structure.body.act != "annotate"
    if kind not in ("json", "sse", "ndjson") or (kind != "json" and document):
        return None if structure.enforced else body

    def held(inner: BodyRewriter) -> BodyRewriter:
        if kind == "json":
            return StructuredJson(inner, structure, max_bytes=max_bytes)
        return StructuredStream(inner, structure, "sse" if kind == "sse" else "ndjson", max_bytes=max_bytes)

    if structure.enforced:
        return held(body)
    if isinstance(body, ShadowBody):
        return body.beside(held)
    return ShadowBody(held(body)) if isinstance(body, UnreadBody) else held(body)
