"""The slow tests: whole processes, as an operator starts them. They run after all others."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put this folder's tests last, so that a quick failure elsewhere is seen quickly."""
    items.sort(key=lambda item: HERE in item.path.parents)
