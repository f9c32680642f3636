"""What a policy and a process must have for each other."""

from __future__ import annotations

from pathlib import Path

import pytest
from tidegate.errors import PolicyError
from tidegate.settings import Settings
from tidegate.startup import check_settings


def test_revoked_tokens_in_the_store_need_a_store(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("version: 1\nplatform: {revocation: {}}\n")
    with pytest.raises(PolicyError, match=r"platform\.revocation: no file: the revoked tokens are in the store"):
        check_settings(Settings(policy))
    check_settings(Settings(policy, store="redis://127.0.0.1:1"))
    policy.write_text("version: 1\nplatform: {revocation: {file: revoked.yaml}}\n")
    check_settings(Settings(policy))
