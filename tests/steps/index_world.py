"""A devnet, a database and an indexer between them, for the tests of the indexing step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, text

from lightchallenge_dagster.chain.contracts import Addresses, Contracts
from lightchallenge_dagster.chain.reader import ChainReader
from lightchallenge_dagster.chain.rpc import Rpc
from lightchallenge_dagster.devnet.abi import load
from lightchallenge_dagster.devnet.client import Client
from lightchallenge_dagster.devnet.deploy import Deployment
from lightchallenge_dagster.devnet.wallets import Wallet, user
from lightchallenge_dagster.rules.reorg import Point
from lightchallenge_dagster.steps import index
from lightchallenge_dagster.steps.index import IndexPolicy, IndexReport, Outlook

# Written at each insertion, so never equal twice.
VOLATILE = {"id", "created_at", "updated_at", "adopted_at"}

INDEXED = (
    "pipeline.chain_blocks",
    "pipeline.chain_logs",
    "pipeline.checkpoints",
    *index.PROJECTIONS.values(),
    "public.indexer_state",
)


@dataclass
class World:
    """What the tests act on: users through ``client``, the indexer through the methods."""

    engine: Engine
    deployment: Deployment
    client: Client
    rpc: Rpc
    policy: IndexPolicy
    contracts: Contracts
    snapshots: list[int] = field(default_factory=list)

    @property
    def reader(self) -> ChainReader:
        return ChainReader(self.rpc)

    def snapshot(self, asked: Sequence[tuple[int, str, Point]]) -> list[dict[str, Any]]:
        self.snapshots += [challenge_id for challenge_id, _, _ in asked]
        return self.contracts.challenge_snapshot(asked)

    def follow(self, **options: Any) -> IndexReport:
        return index.follow(
            self.engine,
            self.reader,
            options.pop("policy", self.policy),
            self.snapshot,
            achievement=self.contracts.achievement_of,
            **options,
        )

    def look(self, policy: IndexPolicy | None = None) -> Outlook:
        return index.look(self.engine, self.reader, policy or self.policy)

    def heal(self, first: int, last: int) -> IndexReport:
        return index.heal(
            self.engine,
            self.reader,
            self.policy,
            self.snapshot,
            first,
            last,
            achievement=self.contracts.achievement_of,
        )

    def funded(self, *names: str) -> list[Wallet]:
        wallets = [user(name) for name in names]
        self.client.fund(*wallets)
        return wallets

    def join_together(self, challenge: int, *wallets: Wallet) -> None:
        """All of them join in one block."""
        call = self.client.node.call
        call("evm_setAutomine", False)
        try:
            for wallet in wallets:
                call("anvil_impersonateAccount", wallet.address)
                data = load("ChallengePay").encode("joinChallengeNative", challenge)
                transaction = {"from": wallet.address, "to": self.deployment.challengepay}
                gas = {"data": data, "value": hex(10**18), "gas": hex(500_000)}
                call("eth_sendTransaction", transaction | gas)
            call("evm_mine")
        finally:
            call("evm_setAutomine", True)

    def rows(self, query: str, **parameters: Any) -> list[dict[str, Any]]:
        with self.engine.connect() as connection:
            found = connection.execute(text(query), parameters).mappings()
            return [dict(row) for row in found]

    def run(self, statement: str, **parameters: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement), parameters)

    def table(self, name: str) -> list[dict[str, Any]]:
        """All rows of a table without the columns that name an insertion, in a stable order."""
        rows = [
            {k: v for k, v in row.items() if k not in VOLATILE or (name, k) in _KEPT}
            for row in self.rows(f"select * from {name}")  # noqa: S608
        ]
        return sorted(rows, key=repr)

    def state(self) -> dict[str, list[dict[str, Any]]]:
        """Everything the indexer writes."""
        return {name: self.table(name) for name in INDEXED}

    def projections(self) -> dict[str, list[dict[str, Any]]]:
        """What follows from the chain, headers apart."""
        return {name: self.table(name) for name in index.PROJECTIONS.values()}


_KEPT = {("public.challenges", "id"), ("public.challenges", "created_at")}


def open_world(engine: Engine, deployment: Deployment) -> Iterator[World]:
    rpc = Rpc(deployment.rpc_url)
    addresses = Addresses(
        challengepay=deployment.challengepay,
        treasury=deployment.treasury,
        aivm_inference=deployment.aivm_inference,
        task_registry=deployment.task_registry,
        poi_verifier=deployment.poi_verifier,
        achievement=deployment.achievement,
        metadata_registry=deployment.metadata_registry,
    )
    roles = (
        "challengepay",
        "treasury",
        "aivm_inference",
        "task_registry",
        "achievement",
        "metadata_registry",
    )
    policy = IndexPolicy(
        chain_id=deployment.chain_id,
        addresses={role: getattr(deployment, role) for role in roles},
        confirmations=0,
        start_block=deployment.start_block,
    )
    yield World(engine, deployment, Client(deployment), rpc, policy, Contracts(rpc, addresses))
    rpc.close()
