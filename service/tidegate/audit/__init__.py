"""Who asked for what, what was decided, and what left: records that nobody can change unnoticed."""
