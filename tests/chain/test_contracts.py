"""Typed views, read from the deployed contracts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from lightchallenge_dagster.chain.contracts import (
    STATUS_ACTIVE,
    Addresses,
    CallReverted,
    Contracts,
    NotAContract,
)
from lightchallenge_dagster.chain.rpc import Rpc, RpcError
from lightchallenge_dagster.devnet.client import Client
from lightchallenge_dagster.devnet.deploy import Deployment
from lightchallenge_dagster.devnet.wallets import user

ALICE, BOB = user("alice"), user("bob")


@pytest.fixture
def contracts(devnet: Deployment) -> Contracts:
    return Contracts(
        Rpc(devnet.rpc_url),
        Addresses(
            challengepay=devnet.challengepay.upper().replace("0X", "0x"),
            treasury=devnet.treasury,
            aivm_inference=devnet.aivm_inference,
            task_registry=devnet.task_registry,
            poi_verifier=devnet.poi_verifier,
            achievement=devnet.achievement,
            metadata_registry=devnet.metadata_registry,
        ),
    )


@pytest.fixture
def client(devnet: Deployment) -> Client:
    return Client(devnet)


def test_addresses_are_kept_in_lowercase(contracts: Contracts, devnet: Deployment) -> None:
    assert contracts.addresses.challengepay == devnet.challengepay


def test_a_challenge_is_read_with_its_times_and_stakes(
    contracts: Contracts, client: Client
) -> None:
    client.fund(ALICE, BOB)
    challenge_id = client.create_challenge(ALICE, stake=3 * 10**18, max_participants=9)
    client.join(BOB, challenge_id, 2 * 10**18)
    found = contracts.get_challenge(challenge_id)
    assert found.exists
    assert (found.id, found.status, found.creator) == (challenge_id, STATUS_ACTIVE, ALICE.address)
    assert (found.stake, found.pool, found.participants_count) == (3 * 10**18, 5 * 10**18, 2)
    assert found.end_ts == found.start_ts + 3600
    assert found.proof_deadline_ts == found.end_ts + 3600
    assert found.verifier == contracts.addresses.poi_verifier
    assert not found.paused
    assert contracts.standing(challenge_id, [ALICE.address, BOB.address]) == {
        ALICE.address: (3 * 10**18, False),
        BOB.address: (2 * 10**18, False),
    }


def test_a_challenge_that_was_never_created_does_not_exist(contracts: Contracts) -> None:
    assert not contracts.get_challenge(999).exists


def test_a_snapshot_is_what_was_true_at_its_block_and_json_safe(
    contracts: Contracts, client: Client
) -> None:
    client.fund(ALICE, BOB)
    challenge_id = client.create_challenge(ALICE, stake=3 * 10**18)
    created = client.node.block_number()
    client.join(BOB, challenge_id)
    (snapshot,) = contracts.challenge_snapshot([(challenge_id, ALICE.address, created)])
    assert snapshot["stake"] == snapshot["pool"] == snapshot["creator_contribution"]
    assert snapshot["stake"] == str(3 * 10**18)
    assert snapshot["participants_count"] == 1
    assert snapshot["block_number"] == created
    assert isinstance(snapshot["start_ts"], int)


class Narrow(Rpc):
    """The real node behind a front that takes only so many calls at once."""

    def __init__(self, url: str, most: int) -> None:
        super().__init__(url)
        self.most = most

    def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        if len(calls) > self.most:
            self.calls += 1
            raise RpcError(f"a batch of {len(calls)}", -32600, "batch too large")
        return super().batch(calls)


@pytest.mark.parametrize("most", [1000, 7, 0])
def test_snapshots_of_many_creations_take_few_requests_and_a_refused_batch_is_made_smaller(
    contracts: Contracts, client: Client, most: int
) -> None:
    client.fund(ALICE)
    first = client.create_challenge(ALICE, stake=3 * 10**18)
    block = client.node.block_number()
    second = client.create_challenge(ALICE, stake=4 * 10**18)
    rpc = Narrow(client.deployment.rpc_url, most)
    many = Contracts(rpc, contracts.addresses)

    asked = [(first, ALICE.address, block), (second, ALICE.address, block + 1)] * 50
    snapshots = many.challenge_snapshot(asked)

    assert [(one["id"], one["stake"]) for one in snapshots] == [
        (first, str(3 * 10**18)),
        (second, str(4 * 10**18)),
    ] * 50
    assert rpc.calls <= {1000: 1, 7: 40, 0: 210}[most]


def test_a_token_that_does_not_exist_is_refused_by_name_though_it_was_asked_with_others(
    contracts: Contracts, client: Client
) -> None:
    client.fund(ALICE)
    challenge = client.create_challenge(ALICE)
    token = client.admin_mint(ALICE.address, challenge, "victory")

    assert [one[1:3] for one in contracts.achievement_of([(token, "latest")])] == [
        (ALICE.address, 1)
    ]
    with pytest.raises(CallReverted, match="achievementOf"):
        contracts.achievement_of([(token, "latest"), (token + 999, "latest")])


def test_roles_are_read_for_dispatchers_admins_and_strangers(
    contracts: Contracts, devnet: Deployment
) -> None:
    assert contracts.may_submit_proofs(devnet.finalizer_address)
    assert contracts.may_submit_proofs(devnet.admin.address)
    assert not contracts.may_submit_proofs(ALICE.address)
    assert contracts.may_record_bindings(devnet.worker_address)
    assert not contracts.may_record_bindings(ALICE.address)


def test_bindings_and_requests_are_read_and_their_absence_too(
    contracts: Contracts, devnet: Deployment
) -> None:
    assert contracts.get_binding(2, ALICE.address) is None
    assert contracts.bindings(2, [ALICE.address]) == {ALICE.address: None}
    assert contracts.request(77).status == 0
    assert contracts.request_id_by_task("0x" + "11" * 32) == 0
    assert contracts.attestations("0x" + "11" * 32)[:2] == (0, 2)
    assert contracts.verify(devnet.poi_verifier, 2, ALICE.address, b"\x00" * 416) is False


def test_metadata_and_allowances_are_read(contracts: Contracts) -> None:
    assert contracts.uri(2) == ""
    assert contracts.eth_allowance(2, ALICE.address) == 0


def test_an_address_without_a_contract_is_named(devnet: Deployment) -> None:
    nowhere = "0x" + "de" * 20
    contracts = Contracts(Rpc(devnet.rpc_url), Addresses(nowhere, nowhere, nowhere, nowhere))
    with pytest.raises(NotAContract, match=nowhere):
        contracts.get_challenge(2)
