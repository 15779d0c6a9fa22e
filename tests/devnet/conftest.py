"""The devnet with people on it."""

from __future__ import annotations

import pytest

from lightchallenge_dagster.devnet.client import Client
from lightchallenge_dagster.devnet.deploy import Deployment
from tests.devnet.world import World


@pytest.fixture
def world(devnet: Deployment) -> World:
    return World(devnet)


@pytest.fixture
def client(world: World) -> Client:
    return world.client
