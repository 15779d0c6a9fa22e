"""All that writes the chain's tables, at once: no one waits for ever, and nothing is mixed."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine

from lightchallenge_dagster.chain.contracts import Contracts
from lightchallenge_dagster.chain.reader import ChainMoved, ChainReader
from lightchallenge_dagster.chain.rpc import Rpc
from lightchallenge_dagster.steps import index, verify
from lightchallenge_dagster.steps.index import CheckpointMoved
from lightchallenge_dagster.steps.set_checkpoint import CheckpointRefused, set_checkpoint
from lightchallenge_dagster.steps.verify import WatermarkMoved
from tests.steps.index_world import World, open_world

RACES = (CheckpointMoved, WatermarkMoved, ChainMoved, CheckpointRefused)
"""What a writer may hear that was not the first."""


@pytest.fixture
def world(database: Engine, devnet: Any) -> Iterator[World]:
    yield from open_world(database, devnet)


def test_two_followers_a_verification_a_heal_a_rebuild_and_a_checkpoint_set_back(
    world: World,
) -> None:
    alice, bob = world.funded("alice", "bob")
    challenge = world.client.create_challenge(alice, max_participants=5)
    world.follow()
    policy = replace(world.policy, max_block_range=7)
    over = threading.Event()
    failed: list[BaseException] = []
    done: dict[str, int] = {}

    def again_and_again(name: str, work: Callable[[ChainReader, Contracts], object]) -> None:
        rpc = Rpc(world.deployment.rpc_url)
        contracts = Contracts(rpc, world.contracts.addresses)
        try:
            while not over.is_set():
                try:
                    work(ChainReader(rpc), contracts)
                    done[name.removeprefix("another ")] = 1
                except RACES:
                    continue
        except BaseException as error:  # noqa: BLE001
            failed.append(error)
        finally:
            rpc.close()

    projections = itertools.cycle(index.PROJECTIONS)
    works: dict[str, Callable[[ChainReader, Contracts], object]] = {
        name: lambda reader, contracts: index.follow(
            world.engine, reader, policy, contracts.challenge_snapshot
        )
        for name in ("follower", "another follower")
    }
    works["verify"] = lambda reader, contracts: verify.verify(
        world.engine, reader, policy, contracts.challenge_snapshot, behind=1
    )
    works["heal"] = lambda reader, contracts: index.heal(
        world.engine, reader, policy, contracts.challenge_snapshot, 0, 10**6
    )
    works["rebuild"] = lambda reader, contracts: index.rebuild(
        world.engine, policy, next(projections)
    )
    works["set back"] = lambda reader, contracts: set_checkpoint(
        world.engine, reader, policy, look_back=9
    )
    threads = [
        threading.Thread(target=again_and_again, args=(name, work), daemon=True)
        for name, work in works.items()
    ]
    for thread in threads:
        thread.start()
    # Without the lease under which it runs, setting back can lose every race; so can one follower.
    needed = {"follower", "verify", "heal", "rebuild"}
    joined = 0
    while joined < 25 or (joined < 200 and not needed <= done.keys() and not failed):
        world.client.join(bob, challenge, 10**15)
        world.client.node.call("evm_mine")
        joined += 1
    over.set()
    for thread in threads:
        thread.join(timeout=60)

    assert not any(thread.is_alive() for thread in threads)
    assert failed == []
    assert needed <= done.keys()
    world.follow()
    on_chain = world.client.events("challengepay", name="Joined")
    assert len(on_chain) == joined
    stored = world.rows(
        "select args ->> 'amount' as wei from pipeline.chain_logs"
        " where event = 'ChallengePay.Joined'"
    )
    assert [row["wei"] for row in stored] == [str(10**15)] * joined
    (stake,) = world.rows(
        "select amount_wei from pipeline.stakes where subject = :s", s=bob.address
    )
    assert stake["amount_wei"] == world.client.contribution(challenge, bob.address)
    healed = world.heal(0, 10**6)
    assert (healed.added_logs, healed.dropped_logs, healed.disputed) == (0, 0, [])
    for projection in index.PROJECTIONS:
        assert index.rebuild(world.engine, world.policy, projection).rows_changed == 0
