"""How a response ends that must not go on, because the credential that it hangs on is over."""

from __future__ import annotations

from typing import Final, Literal

from tidegate.filtering.formats import Listening, listen
from tidegate.model import Deny, Reason

Over = Literal["revoked", "expired"]

_MESSAGES: Final = {
    "revoked": (Reason.CREDENTIAL_INVALID, "The credential was revoked: the response ends here."),
    "expired": (Reason.CREDENTIAL_EXPIRED, "The credential has expired: the response ends here."),
}
_EVENT: Final = 256 * 1024  # bytes of one event


def refusal(why: Over) -> Deny:
    """What stands in the place of a response that has not begun, and what one that has begun says at its end."""
    reason, message = _MESSAGES[why]
    return Deny(401, reason, message)


def voice(content_type: str) -> Listening | None:
    """Learns what an event stream speaks that is not read otherwise, so that it can end in the same dialect."""
    return listen(content_type, _Deaf(), max_bytes=_EVENT)


class _Deaf:
    """Wants to know nothing of what is said."""

    def document(self, document: object) -> None:
        """Not ours."""

    def text(self, text: str) -> None:
        """Not ours."""

    def unread(self, size: int) -> None:
        """Not ours."""
