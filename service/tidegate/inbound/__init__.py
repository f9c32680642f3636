"""Requests: what a body must be, and what its prompts must not hold, before a model reads them."""
