"""Envoy's own error replies in the caller's dialect. Replies that tidegate wrote pass through as they are.

Each row is (a CEL condition, status to answer or 0 to keep Envoy's, code, message); the first that holds decides.
No row repeats Envoy's own text: it names hosts and transport errors.
"""

from __future__ import annotations

from typing import Any, Final

OPENAI_ROUTE: Final = "openai:"
"""Routes whose name starts with this answer errors in OpenAI's shape."""

_OURS: Final = "(response.code_details.startsWith('ext_authz_denied') || response.code_details.startsWith('tidegate_'))"
_POLICY_OUT: Final = "response.code_details == 'ext_authz_error' || response.code_details.startsWith('ext_proc_')"

_ROWS: Final = (
    (_POLICY_OUT, 503, "policy_unavailable", "The policy service is unavailable."),
    ("response.code == 413", 0, "request_too_large", "The request body is larger than this gateway accepts."),
    ("response.code == 404", 0, "not_found", "There is nothing here."),
    ("response.code == 504", 0, "model_timeout", "The model did not answer in time."),
    ("response.code >= 500", 0, "model_unavailable", "The model is unavailable."),
    ("response.code >= 400", 0, "request_malformed", "The gateway refused the request."),
)

_OPENAI: Final = f"(xds.route_name.startsWith('{OPENAI_ROUTE}') || request.url_path.startsWith('/v1/'))"


def local_reply_config() -> dict[str, Any]:
    """The HttpConnectionManager's `local_reply_config`."""
    return {"mappers": [_mapper(*row, openai=openai) for row in _ROWS for openai in (True, False)]}


def _mapper(condition: str, status: int, code: str, message: str, *, openai: bool) -> dict[str, Any]:
    expression = f"!{_OURS} && ({condition})" + (f" && {_OPENAI}" if openai else "")
    mapper: dict[str, Any] = {
        "filter": {
            "extension_filter": {
                "name": "cel",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
                    "expression": expression,
                },
            }
        },
        "body_format_override": _openai(code, message) if openai else _problem(code, message),
    }
    if status:
        mapper["status_code"] = status
        mapper["headers_to_add"] = [{"header": {"key": "retry-after", "value": "1"}}]
    return mapper


def _openai(code: str, message: str) -> dict[str, Any]:
    kind = "invalid_request_error" if code in {"request_too_large", "not_found", "request_malformed"} else "api_error"
    error = {"message": message, "type": kind, "param": None, "code": code}
    return {"json_format": {"error": error}, "content_type": "application/json"}


def _problem(code: str, message: str) -> dict[str, Any]:
    problem = {
        "type": "about:blank",
        "title": message.removesuffix("."),
        "status": "%RESPONSE_CODE%",
        "detail": message,
        "code": code,
        "request_id": "%REQUEST_HEADER(X-REQUEST-ID)%",
    }
    return {"json_format": problem, "content_type": "application/problem+json"}
