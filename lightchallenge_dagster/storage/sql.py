"""Queries longer than a few lines live as files in ``sql/`` and are read here."""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def load(name: str) -> str:
    """The text of ``sql/<name>.sql`` (``load("judge/pending")``).

    Raises ``FileNotFoundError`` when the package holds no such file.
    """
    folder = resources.files("lightchallenge_dagster") / "sql"
    return (folder / f"{name}.sql").read_text(encoding="utf-8")
