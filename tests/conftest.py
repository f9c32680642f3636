"""What holds for every test."""

from __future__ import annotations

from hypothesis import settings

# A property says what is so, not how fast; one about time measures it itself. A busy machine fails no other.
settings.register_profile("tidegate", deadline=None)
settings.load_profile("tidegate")
