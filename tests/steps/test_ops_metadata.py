"""MetadataRegistry through the outbox: once, whatever dies and whoever else writes to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from lightchallenge_dagster.chain.signer import Signer
from lightchallenge_dagster.devnet.deploy import Deployment
from lightchallenge_dagster.steps.ops.metadata import (
    MetadataPolicy,
    MetadataReport,
    backfill_metadata_registry,
)
from lightchallenge_dagster.steps.outbox import Outbox
from tests import builders as b
from tests.steps.index_world import open_world
from tests.steps.money_world import Money, users

ANN, BOB = users("ann", "bob")
BASE = "https://app.example"


class Killed(BaseException):
    """The run's end."""


@pytest.fixture
def money(database: Engine, devnet: Deployment) -> Iterator[Money]:
    for world in open_world(database, devnet):
        yield Money.of(world)


def backfill(
    money: Money, observe: Callable[[str, str], None] = lambda _boundary, _key: None
) -> MetadataReport:
    deployed = money.world.deployment
    signer = Signer(deployed.metadata_owner.key)
    outbox = Outbox(money.engine, money.world.rpc, [signer], money.policy, observe=observe)
    policy = MetadataPolicy(signer.address, BASE)
    return backfill_metadata_registry(money.engine, money.world.contracts, outbox, policy)


def at(boundary: str, act: Callable[[], Any]) -> Callable[[str, str], None]:
    done: list[str] = []

    def observe(reached: str, _key: str) -> None:
        if reached == boundary and not done:
            done.append(reached)
            act()

    return observe


def dies() -> None:
    raise Killed


def row(money: Money, challenge: int) -> tuple[Any, ...]:
    (found,) = b.rows(
        money.engine,
        "select registry_status, registry_tx_hash, registry_error from public.challenges"
        " where id = :id",
        id=challenge,
    )
    return found


@pytest.mark.parametrize(
    "boundary",
    ["planned", "simulated", "signed", "stored", "sent", "broadcast", "receipt", "mined"],
)
def test_a_run_that_dies_leaves_one_uri_and_a_row_that_says_so_to_the_next(
    money: Money, boundary: str
) -> None:
    challenge = money.challenge([ANN, BOB])
    with pytest.raises(Killed):
        backfill(money, at(boundary, dies))

    report = backfill(money)

    assert [*report.set, *report.there] == [challenge]
    assert len(money.events("metadata_registry", "MetadataSet")) == 1
    status, tx_hash, error = row(money, challenge)
    assert (status, error) == ("success", None)
    assert [(tx_hash,)] == b.rows(
        money.engine, "select hash from pipeline.transactions where receipt_status = 1"
    )


def set_elsewhere(money: Money, challenge: int, uri: str) -> Callable[[], Any]:
    client = money.client
    return lambda: client.send(
        money.world.deployment.metadata_owner,
        "metadata_registry",
        "ownerSet",
        client.address("challengepay"),
        challenge,
        uri,
    )


def test_a_uri_that_the_web_app_sets_in_the_same_moment_is_success(money: Money) -> None:
    challenge = money.challenge([ANN, BOB])
    same = f"{BASE}/api/challenges/meta/{challenge}"
    report = backfill(money, at("planned", set_elsewhere(money, challenge, same)))
    assert report.there == [challenge]
    assert row(money, challenge) == ("success", None, None)
    assert money.transactions("metadata") == 0


def test_another_uri_set_in_the_same_moment_is_reported_and_left(money: Money) -> None:
    challenge = money.challenge([ANN, BOB])
    report = backfill(money, at("planned", set_elsewhere(money, challenge, "ipfs://x")))
    assert report.differs == [challenge]
    assert row(money, challenge)[0] == "failed"
    assert "ipfs://x" in row(money, challenge)[2]


def test_another_uri_of_any_bytes_is_reported_and_stops_nobody(money: Money) -> None:
    challenge, other = money.challenge([ANN, BOB]), money.challenge([ANN, BOB])
    set_elsewhere(money, challenge, "ipfs://\0" + "x" * 5000)()
    report = backfill(money)
    assert (report.differs, report.set) == ([challenge], [other])
    _, _, error = row(money, challenge)
    assert "ipfs://\ufffdxxx" in error
    assert len(error) == 500
    (line,) = [one for one in report.lines if one.challenge_id == challenge]
    assert line.note == error


def test_a_transaction_that_reverts_on_chain_is_followed_by_a_look_at_the_registry(
    money: Money,
) -> None:
    challenge = money.challenge([ANN, BOB])
    same = f"{BASE}/api/challenges/meta/{challenge}"
    # The nonce is taken by then, so the other URI comes first only by another key's luck: here the
    # owner's own transaction uses the nonce, and ours can never be mined.
    report = backfill(money, at("stored", set_elsewhere(money, challenge, same)))
    assert len(money.events("metadata_registry", "MetadataSet")) == 1
    for _ in range(3):
        if report.there or report.set:
            break
        money.client.travel(2)
        money.retry_now()
        report = backfill(money)
    assert report.there == [challenge]
    assert row(money, challenge)[0] == "success"


def test_the_registrys_wallet_out_of_coins_is_waited_for(money: Money) -> None:
    challenge = money.challenge([ANN, BOB])
    owner = money.world.deployment.metadata_owner_address
    money.client.node.call("anvil_setBalance", owner, hex(1))
    report = backfill(money)
    assert report.waiting == [challenge]
    assert row(money, challenge)[0] == "pending"
    money.client.node.call("anvil_setBalance", owner, hex(10**18))
    money.retry_now()
    assert backfill(money).set == [challenge]
