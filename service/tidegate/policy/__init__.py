"""The policy document: its schema, loading it, and the frozen policy that the phases read."""

from tidegate.policy.compiled import Policy
from tidegate.policy.load import load_policy, parse_policy
from tidegate.policy.reload import PolicySource

__all__ = ["Policy", "PolicySource", "load_policy", "parse_policy"]
