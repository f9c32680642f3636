"""The shape of the policy document's part on credentials that end before their time."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tidegate.policy import words
from tidegate.policy.strict import Strict


class Revocation(Strict):
    """Tokens that are refused before their time, by `tidegate tokens revoke`, and what becomes of exchanges that run.

    While nobody can say which tokens are revoked, because the store does not answer a process that has just started,
    tokens are answered 503. API keys have their own revocation, `tidegate keys revoke`.
    """

    file: words.FileName | None = Field(
        default=None,
        description="The file of revoked tokens, relative to the policy file. Without it, the list is in the Redis of "
        "`--store`, which then has to keep it on disk.",
    )
    on_revocation: Literal["finish", "end_streams"] = Field(
        default="finish",
        description="What a key or token that is revoked does to responses that it has called forth and that still "
        "run: finish: nothing; end_streams: they end, with an error in their own format, within 2 seconds. An opaque "
        "token that was revoked at its provider ends them when it is asked about again: after `cache`, at least 1s.",
    )
    on_expiry: Literal["finish", "end_streams"] = Field(
        default="finish",
        description="The same for a key or token that expires in the meantime.",
    )
