"""Content safety: what a passage does, rather than what a value is."""
