"""A real identity provider (canaille) as a process of its own, and what it can be told to do to us."""
