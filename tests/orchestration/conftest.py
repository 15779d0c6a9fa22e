"""Dagster's side of the tests: real resources on this test's own database and node."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance
from sqlalchemy import Engine

from lightchallenge_dagster.devnet import wallets
from lightchallenge_dagster.devnet.deploy import Deployment
from lightchallenge_dagster.devnet.processes import Anvil
from lightchallenge_dagster.resources.chain import ChainResource
from lightchallenge_dagster.resources.database import DatabaseResource
from lightchallenge_dagster.resources.policy import Policy
from lightchallenge_dagster.resources.signers import SignersResource
from lightchallenge_dagster.resources.sources import EvidenceSources
from tests.steps.bent_node import BentNode

NO_NODE = "http://127.0.0.1:9"


@dataclass(frozen=True)
class World:
    """A database, a chain with the contracts, and the resources over them."""

    database: Engine
    anvil: Anvil
    devnet: Deployment
    inbox: Path
    resources: dict[str, Any]
    servers: ExitStack

    def front(self) -> BentNode:
        """A front for the node, to break or to bend; it ends with the test."""
        return self.servers.enter_context(BentNode(self.anvil.url).serving())

    def read_from(self, *urls: str) -> None:
        """Put these into LCAI_RPC."""
        chain = self.resources["chain"].model_dump() | {"rpc_url": ",".join(urls)}
        self.resources["chain"] = ChainResource(**chain)

    def without_a_node(self) -> dict[str, Any]:
        """The same resources with nothing listening where the node should be."""
        chain = self.resources["chain"].model_dump() | {"rpc_url": NO_NODE}
        return {**self.resources, "chain": ChainResource(**chain)}


@pytest.fixture
def world(
    database: Engine, database_url: str, anvil: Anvil, devnet: Deployment, tmp_path: Path
) -> Iterator[World]:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    servers = ExitStack()
    yield World(
        database,
        anvil,
        devnet,
        inbox,
        {
            "database": DatabaseResource(url=database_url),
            "chain": ChainResource(
                rpc_url=anvil.url,
                chain_id=devnet.chain_id,
                challengepay=devnet.challengepay,
                treasury=devnet.treasury,
                aivm_inference=devnet.aivm_inference,
                task_registry=devnet.task_registry,
                poi_verifier=devnet.poi_verifier,
                achievement=devnet.achievement,
                metadata_registry=devnet.metadata_registry,
                start_block=devnet.start_block,
                confirmation_blocks=0,
                verify_behind_blocks=0,
            ),
            "signers": SignersResource(
                worker_key=wallets.worker().key, finalize_key=wallets.finalizer().key
            ),
            "sources": EvidenceSources(inbox=str(inbox)),
            "policy": Policy(),
        },
        servers,
    )
    servers.close()


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture(scope="session")
def lasting_instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterInstance]:
    """For schedules: their context finds its instance again by reference."""
    with DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as instance:
        yield instance
