"""The structure of answers: what an endpoint's JSON Schemas demand of a body, of its text and of its tool calls."""
