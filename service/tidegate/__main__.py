"""`python -m tidegate`."""

from tidegate.cli import app

app()
