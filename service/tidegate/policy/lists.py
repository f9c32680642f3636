"""The shape of deny lists and allow lists in the policy document."""

from __future__ import annotations

from pydantic import Field

from tidegate.policy import addresses, words
from tidegate.policy.strict import Strict

_FILE = (
    "A file of more terms, UTF-8, one a line; lines that begin with # are comments. Relative to the policy file, and "
    "read again when it changes."
)


class DenyList(Strict):
    """Terms that are found as `LIST_` and the list's name in capitals: `detect: [LIST_COMPETITORS]`.

    Found however they are written: in other scripts' look-alikes, full-width, with accents or with characters that
    nobody sees. At most 100,000 terms of 256 characters.
    """

    terms: words.Set[words.Text] = Field(default=[], description="The terms.")
    file: words.FileName | None = Field(default=None, description=_FILE)
    case_sensitive: bool = Field(default=False, description="Whether upper and lower case are told apart.")
    whole_words: bool = Field(
        default=True, description="Whether a term is found only where no word goes on before or behind it."
    )


class AllowList(Strict):
    """Values that are left as they are when they are found, and are no finding.

    A value is allowed when all of it is listed, without regard to case; a number also when it is written in another
    way. The platform's lists hold everywhere; a tenant's on the endpoints that it owns, and not for what the floor's
    rulesets look for.
    """

    terms: words.Set[words.Text] = Field(default=[], description="The values.")
    file: words.FileName | None = Field(default=None, description=_FILE)
    domains: words.Set[addresses.Domain] = Field(
        default=[],
        description="Domains whose e-mail addresses are allowed, and those of the domains below them; but none that "
        "holds a value of another kind, such as a card number.",
    )
    only: words.Set[words.Entity] = Field(
        default=[], description="The kinds of value that it is for, or groups of them; every kind where it is empty."
    )
