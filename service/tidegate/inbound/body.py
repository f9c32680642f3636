"""The body of a request as the model will read it, or why nobody can tell: what is checked before anything is charged.

JSON is read strictly, because the model behind may be another parser: a key that stands twice, a lone surrogate or a
number beyond a double is refused, and so is what nests deeper than 100 or has more than 200,000 parts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Literal

from tidegate.errors import BodyTooLarge, MalformedBody
from tidegate.filtering.formats import format_of
from tidegate.filtering.formats.coding import decoder_of
from tidegate.filtering.structure.schema import parse
from tidegate.inbound.checks import RequestChecks
from tidegate.model import BodyState, Deny, Reason, Request
from tidegate.strict_json import BadJson
from tidegate.usage.parts import has_too_many_parts

_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_JSON_LIKE: Final = re.compile(r"[ \t\r\n]*[\[{\"]")
_JSON_BYTES: Final = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*[\[{\"]")
_MARK: Final = "\ufeff"
_PROMPTS: Final = ("prompt", "input", "prompt_token_ids", "input_ids")
_WHY: Final = {
    "json_duplicate_key": "names a key twice",
    "json_depth": "nests too deep",
    "json_number": "holds a number that is none in JSON, or too large",
    "json": "is not valid JSON in UTF-8",
}


@dataclass(frozen=True, slots=True)
class Content:
    """What a body of `size` bytes holds: a JSON `document`, or `text`, or nothing that is read: then `unread` says why.

    `fault` is what would have been a reason to refuse it, where the policy does not.
    """

    document: Any = None
    text: str = ""
    kind: Literal["json", "text", ""] = ""
    size: int = 0
    unread: str = ""
    fault: str = ""


def content_of(checks: RequestChecks, request: Request) -> Content | Deny:
    """The content of a request's body, or why it is refused. Never raises, whatever the body is."""
    if request.body_state is BodyState.PARTIAL:
        return _refused(413, "The request body is too large to be checked.", "partial body")
    if request.body_state is BodyState.ABSENT:
        return _absent(checks, request)
    if len(request.body) > checks.max_size:
        return _too_large(checks)
    body = _decoded(checks, request)
    if isinstance(body, Deny):
        return body
    return _read(checks, request.headers.get("content-type", ""), body)


def structure_fault(checks: RequestChecks, content: Content) -> str:
    """ "" when a body is as the endpoint's schema wants it, else the place in the schema."""
    if checks.schema is None:
        return ""
    return checks.schema.schema.fault(content.document) if content.kind == "json" else "type"


def unstructured(fault: str) -> Deny:
    """The refusal of a body that does not match."""
    message = f"The request does not match the schema of this endpoint ({fault})."
    return Deny(400, Reason.REQUEST_STRUCTURE, message, detail=fault, rule="request")


def _absent(checks: RequestChecks, request: Request) -> Content | Deny:
    """No body, as far as the edge says. One that may be there and was not shown is no body that was checked."""
    declared = request.headers.get("content-length")
    if "transfer-encoding" in request.headers or (declared is None and request.method in _WITH_BODY):
        return _refused(400, "The request has no body that could be checked.", "no body")
    if declared not in (None, "0"):
        return _refused(400, "The request body was not shown to the check.", "body not shown")
    return Content(unread="no_body")


def _decoded(checks: RequestChecks, request: Request) -> bytes | Deny:
    coding = request.headers.get("content-encoding", "").strip().lower()
    if coding in ("", "identity"):
        return request.body
    decoder = decoder_of(coding) if checks.compressed == "decode" else None
    if decoder is None:
        return _refused(415, "The request body must not be compressed in this way.", "content coding")
    out = bytearray()
    try:
        for piece in decoder.feed(request.body):
            out += piece
            if len(out) > checks.max_size:
                return _too_large(checks)
        decoder.finish()
    except (MalformedBody, BodyTooLarge):
        return _refused(400, "The request body is not compressed as it says.", "content coding")
    return bytes(out)


def _read(checks: RequestChecks, content_type: str, body: bytes) -> Content | Deny:
    kind = format_of(content_type) if content_type else "json"
    if kind not in ("json", "text", "csv", "ndjson"):
        if checks.other_types == "refuse":
            return _refused(415, "The request body must be JSON or text, in UTF-8.", "content type")
        as_json = _read(checks, "text/plain", body) if _JSON_BYTES.match(body) else None
        # Any other type would do to get JSON past the checks.
        return Content(unread="type") if as_json is None or _is_other(as_json) else as_json
    if has_too_many_parts(body):
        return _refused(413, "The request body holds too many objects, lists and strings.", "too many parts")
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return _refused(400, "The request body is not UTF-8.", "utf-8")
    if "\0" in text:  # UTF-16 and UTF-32, which readers of JSON know by their zeros, are UTF-8 with NULs
        return _refused(400, "The request body is not UTF-8.", "utf-8")
    # Servers that do not look at the type read as JSON what looks like it, some also behind a byte order mark.
    text = text if kind == "json" else text.removeprefix(_MARK)
    if kind == "json" or _JSON_LIKE.match(text):
        try:
            document = parse(text)
            if not _has_token_ids(document):
                return Content(document=document, kind="json", size=len(body))
            if checks.other_types == "pass":
                return Content(document=document, kind="json", size=len(body), unread="token_ids")
            return _refused(400, "A prompt must be text: as token ids it cannot be checked.", "token ids")
        except BadJson as bad:
            if kind == "json":
                return _refused(400, f"The request body {_WHY[bad.reason]}.", bad.reason)
            if bad.reason != "json":
                return _refused(400, f"The request body looks like JSON and {_WHY[bad.reason]}.", bad.reason)
    return Content(text=text, kind="text", size=len(body))


def _is_other(read: Content | Deny) -> bool:
    """Whether what looked like JSON is none after all, and neither is anything else that is read."""
    return read.detail == "utf-8" if isinstance(read, Deny) else read.kind != "json"


def _has_token_ids(document: Any) -> bool:
    """Whether a prompt is given as numbers (OpenAI's completions and embeddings, vLLM, SGLang): they say nothing here.

    Servers take 1.0 and true for 1.
    """
    given = [document.get(name) for name in _PROMPTS] if isinstance(document, dict) else []
    lists = [one for one in given if isinstance(one, list)]
    items = [item for one in lists for item in one]
    inner = [item for one in items if isinstance(one, list) for item in one]
    return any(isinstance(item, int | float) for item in (*items, *inner))


def _too_large(checks: RequestChecks) -> Deny:
    return _refused(413, f"The request body must not be longer than {checks.max_size} bytes.", "max_size")


def _refused(status: int, message: str, detail: str) -> Deny:
    return Deny(status, Reason.REQUEST_MALFORMED, message, detail=detail, rule="request")
