"""Each scenario has a chain and a database of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from lightchallenge_dagster.devnet.deploy import Deployment
from tests.scenarios.story import Story
from tests.steps.index_world import open_world


@pytest.fixture
def story(database: Engine, devnet: Deployment) -> Iterator[Story]:
    for world in open_world(database, devnet):
        yield Story.of(world)  # pyright: ignore[reportReturnType] — Money.of is a classmethod
