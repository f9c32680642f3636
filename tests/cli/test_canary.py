"""`tidegate canary`: a new one each time, or the same for a name and a key."""

from __future__ import annotations

from pathlib import Path

from tidegate.cli import app
from tidegate.filtering.canaries import canaries_in
from typer.testing import CliRunner


def made(*words: str, status: int = 0) -> str:
    result = CliRunner().invoke(app, ["canary", *words], env={"TIDEGATE_KEY_PEPPER": ""})
    assert result.exit_code == status
    return result.output.strip()


def test_each_is_new_without_a_name_and_the_same_with_one(tmp_path: Path) -> None:
    pepper = tmp_path / "pepper"
    pepper.write_text("p" * 32)
    keyed = ["--key-pepper-file", str(pepper), "--name"]
    first, second = made(), made()
    assert canaries_in(f"{first} {second}") == [first, second]
    assert first != second
    assert made(*keyed, "chat") == made(*keyed, "chat") != made(*keyed, "other")


def test_a_name_needs_a_key() -> None:
    assert "needs a key" in made("--name", "chat", status=2)
