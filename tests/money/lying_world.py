"""The money steps behind a lying node, and an honest look at what they did.

Users, the inference network and the indexer talk to the real node; what sends money, and what it
reads before sending, goes through the liar.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal, cast

from sqlalchemy import Engine

from lightchallenge_dagster.chain.contracts import Contracts
from lightchallenge_dagster.chain.failures import RpcError
from lightchallenge_dagster.chain.rpc import Rpc
from lightchallenge_dagster.devnet.client import Client
from lightchallenge_dagster.devnet.deploy import Deployment
from lightchallenge_dagster.devnet.wallets import Wallet
from lightchallenge_dagster.errors import TransientError
from lightchallenge_dagster.steps.plan import PlanPolicy, refresh_plans
from tests import builders
from tests.money.lying import LyingNode
from tests.steps.index_world import World, open_world
from tests.steps.money_world import HOUR, Money

CONFIRMATIONS = 3
Step = Literal["dispatch", "request", "reclaim", "settle", "finalize"]
EVERY_STEP: Sequence[Step] = ("dispatch", "request", "reclaim", "settle", "finalize")


def _at_once(_seconds: float) -> None:
    """A sleep of no length."""


def rpc_to(url: str, timeout_s: float = 5.0) -> Rpc:
    """A client that does not wait between its tries."""
    return Rpc(url, timeout_s, retries=1, sleep=_at_once)


@dataclass
class LiedTo(Money):
    """``Money`` whose steps see the chain through ``node``; ``honest`` is the indexer's world."""

    honest: World = field(init=False)
    node: LyingNode = field(init=False)
    failed: list[str] = field(default_factory=list[str])
    others: list[LiedTo] = field(default_factory=lambda: list[LiedTo]())
    """Workers that do the same at the same time, by mistake."""

    def follow(self) -> None:
        """Let blocks pass, and index what is at confirmation depth by then."""
        self.node.chain.make_blocks_again()
        self.client.node.call("anvil_mine", hex(CONFIRMATIONS))
        self.honest.follow()
        refresh_plans(self.engine, PlanPolicy(2 * HOUR, 600))

    def attempt(self, step: Step) -> None:
        """A run: what would make it fail is noted, and the next one has to cope."""
        try:
            getattr(self, step)()
        except (TransientError, RpcError) as error:
            self.failed.append(f"{type(error).__name__}: {error}")

    def retry_now(self) -> None:
        """Let every retry time and every lease pass."""
        super().retry_now()
        builders.execute(self.engine, "update pipeline.leases set expires_at = now()")
        builders.execute(self.engine, "update pipeline.job_claims set expires_at = now()")

    def one_round(self, steps: Sequence[Step] = EVERY_STEP) -> None:
        """Each step once; then the world goes on, and whatever waited is due again."""
        for step in steps:
            if self.others:
                with ThreadPoolExecutor() as pool:
                    runs = [pool.submit(one.attempt, step) for one in (self, *self.others)]
                for run in runs:
                    run.result()
            else:
                self.attempt(step)
        self.follow()
        self.retry_now()

    def joined(self) -> LiedTo:
        """Another worker on the same database, behind the same node."""
        client = rpc_to(self.node.url)
        contracts = Contracts(client, self.world.contracts.addresses)
        users = Client(self.world.deployment)
        world = replace(self.world, client=users, rpc=client, contracts=contracts)
        other = replace(self, world=world)
        other.honest, other.node = self.honest, self.node
        self.others.append(other)
        return other


@contextmanager
def lied_to(
    engine: Engine,
    devnet: Deployment,
    seed: int | str = 0,
    *,
    timeout_s: float = 5.0,
    receipt_timeout_s: float = 0.0,
) -> Generator[LiedTo]:
    """A devnet with the pipeline's senders behind a liar that tells the truth so far.

    ``receipt_timeout_s`` 0: a step looks once, so that how much it asks does not depend on time.
    """
    for world in open_world(engine, devnet):
        honest = replace(world, policy=replace(world.policy, confirmations=CONFIRMATIONS))
        head = honest.client.node.block_number()
        with LyingNode(devnet.rpc_url, seed, deepest=CONFIRMATIONS - 1, floor=head) as node:
            client = rpc_to(node.url, timeout_s)
            lied = replace(
                honest, rpc=client, contracts=Contracts(client, world.contracts.addresses)
            )
            money = cast("LiedTo", LiedTo.of(lied))
            money.honest, money.node = honest, node
            money.policy = replace(
                money.policy,
                confirmations=CONFIRMATIONS,
                receipt_timeout_s=receipt_timeout_s,
                poll_s=0.005,
                look_again_s=0.05,
            )
            try:
                yield money
            finally:
                node.tell_the_truth()
                client.close()


# ── an honest look ──────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Sent:
    """A transaction of one of our wallets, as the chain has it."""

    hash: str
    nonce: int
    fee_wei: int
    value_wei: int
    succeeded: bool


def sent_by(money: Money, wallet: Wallet, since_block: int) -> list[Sent]:
    """Every transaction of the wallet in blocks after ``since_block``, in nonce order."""
    node = money.client.node
    found: list[Sent] = []
    for number in range(since_block + 1, node.block_number() + 1):
        block = node.call("eth_getBlockByNumber", hex(number), True)
        for one in block["transactions"]:
            if one["from"].lower() != wallet.address:
                continue
            receipt = node.call("eth_getTransactionReceipt", one["hash"])
            found.append(
                Sent(
                    hash=one["hash"],
                    nonce=int(one["nonce"], 16),
                    fee_wei=int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16),
                    value_wei=int(one["value"], 16),
                    succeeded=int(receipt["status"], 16) == 1,
                )
            )
    return sorted(found, key=lambda one: one.nonce)
