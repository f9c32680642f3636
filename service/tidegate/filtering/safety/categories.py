"""What content safety tells apart. The categories are those on which published moderation services agree, and bias."""

from __future__ import annotations

from typing import Final

CATEGORIES: Final = ("HATE", "HARASSMENT", "VIOLENCE", "SEXUAL", "SELF_HARM", "BIAS")
"""The entities of a policy, and the order of the classifier's weights."""

GROUP: Final = "CONTENT_SAFETY"
"""All of them, in a policy."""
