"""The PoI verifier: one condition after the other made false, and nothing ever reverts."""

from __future__ import annotations

from typing import Any

import pytest
from eth_utils.crypto import keccak

from lightchallenge_dagster.devnet import abi
from lightchallenge_dagster.devnet.client import PROOF_TYPE, ZERO_HASH
from tests.devnet.world import World

OTHER = "0x" + "77" * 32
FIELDS = (
    "schemaVersion",
    "requestId",
    "taskId",
    "challengeId",
    "subject",
    "passed",
    "score",
    "evidenceHash",
    "benchmarkHash",
    "metricHash",
    "evaluatedAt",
    "modelDigest",
    "paramsHash",
)


class Proof:
    """A proof that holds, its binding and its request; each can be changed."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.challenge_id = world.challenge()
        self.subject = world.bob.address
        self.request_id = world.request(self.challenge_id)
        request = world.client.request(self.request_id)
        self.fields: dict[str, Any] = dict(
            zip(
                FIELDS,
                (
                    1,
                    self.request_id,
                    request.task_id,
                    self.challenge_id,
                    self.subject,
                    True,
                    3,
                    OTHER,
                    OTHER,
                    OTHER,
                    99,
                    request.model_digest,
                    request.det_config_hash,
                ),
                strict=True,
            )
        )
        self.bind()

    def bind(self, **changes: object) -> None:
        f = self.fields
        names = ("requestId", "taskId", "modelDigest", "paramsHash", "benchmarkHash")
        binding = {name: f[name] for name in names} | {"schemaVersion": 1} | changes
        self.world.client.send(
            self.world.worker,
            "task_registry",
            "recordBinding",
            self.challenge_id,
            self.subject,
            *binding.values(),
        )

    def encoded(self, **changes: object) -> str:
        return abi.encode_values(PROOF_TYPE, tuple((self.fields | changes).values()))

    def holds(self, **changes: object) -> bool:
        proof = self.encoded(**changes)
        return self.world.client.verifies(self.challenge_id, self.subject, proof)


@pytest.fixture
def proof(world: World) -> Proof:
    return Proof(world)


def test_a_proof_of_a_bound_subject_over_a_final_request_holds(proof: Proof) -> None:
    assert proof.holds()


@pytest.mark.parametrize("field", ["score", "evidenceHash", "metricHash", "evaluatedAt"])
def test_what_nothing_on_chain_knows_is_free(proof: Proof, field: str) -> None:
    assert proof.holds(**{field: ZERO_HASH if field.endswith("Hash") else 12345})


CHANGES: dict[str, object] = {
    "schemaVersion": 2,
    "requestId": 2,
    "taskId": OTHER,
    "challengeId": 3,
    "subject": "0x" + "09" * 20,
    "passed": False,
    "benchmarkHash": ZERO_HASH,
    "modelDigest": OTHER,
    "paramsHash": OTHER,
}


@pytest.mark.parametrize("field", CHANGES)
def test_a_proof_with_something_else_in_it_does_not_hold(proof: Proof, field: str) -> None:
    assert not proof.holds(**{field: CHANGES[field]})


@pytest.mark.parametrize(
    "field", ["requestId", "taskId", "modelDigest", "paramsHash", "benchmarkHash", "schemaVersion"]
)
def test_a_binding_with_something_else_in_it_does_not_hold(proof: Proof, field: str) -> None:
    proof.bind(**{field: CHANGES[field]})
    assert not proof.holds()
    proof.bind()
    assert proof.holds()


def test_a_subject_without_a_binding_does_not_hold(proof: Proof) -> None:
    proof.world.client.send(
        proof.world.worker, "task_registry", "clearBinding", proof.challenge_id, proof.subject
    )
    assert not proof.holds()


def test_another_subjects_binding_does_not_help(proof: Proof) -> None:
    alice = proof.world.alice.address
    stolen = proof.encoded(subject=alice)
    assert not proof.world.client.verifies(proof.challenge_id, alice, stolen)


@pytest.mark.parametrize(("field", "changed"), [("modelDigest", OTHER), ("paramsHash", OTHER)])
def test_a_proof_and_a_binding_that_agree_against_the_request_do_not_hold(
    proof: Proof, field: str, changed: str
) -> None:
    proof.bind(**{field: changed})
    assert not proof.holds(**{field: changed})


def test_a_task_that_is_not_the_requests_does_not_hold(proof: Proof) -> None:
    second = proof.world.client.request_inference(
        proof.world.worker, proof.challenge_id, proof.subject
    )
    proof.world.network.run_until_idle()
    other_task = proof.world.client.request(second).task_id
    proof.bind(taskId=other_task)
    assert not proof.holds(taskId=other_task)


@pytest.mark.parametrize("stage", ["requested", "committed", "revealed"])
def test_a_request_that_is_not_final_does_not_hold(proof: Proof, stage: str) -> None:
    request_id = getattr(proof.world, stage)(proof.challenge_id)
    task_id = proof.world.client.request(request_id).task_id
    proof.bind(requestId=request_id, taskId=task_id)
    assert not proof.holds(requestId=request_id, taskId=task_id)


def test_another_response_than_the_challenges_does_not_hold(proof: Proof) -> None:
    """The request of another challenge is final, bound and proved, and still says the wrong id."""
    world = proof.world
    other = world.challenge()
    request_id = world.request(other)
    task_id = world.client.request(request_id).task_id
    proof.bind(requestId=request_id, taskId=task_id)
    assert not proof.holds(requestId=request_id, taskId=task_id)


def test_a_quorum_that_was_raised_since_does_not_hold(proof: Proof) -> None:
    world = proof.world
    world.client.send(world.admin, "aivm_inference", "setPoiQuorum", 3)
    assert not proof.holds()


def test_a_final_request_without_a_worker_does_not_hold(proof: Proof) -> None:
    """The contract never writes such a request: its storage is changed from outside."""
    world = proof.world
    node, aivm = world.client.node, world.deployment.aivm_inference
    worker = world.client.request(proof.request_id).worker
    # Slots of one request: the mapping's slot is not part of the ABI, so it is searched for.
    for slot in range(40):
        base = int.from_bytes(
            keccak(proof.request_id.to_bytes(32, "big") + slot.to_bytes(32, "big")), "big"
        )
        for word in range(16):
            place = hex((base + word) % 2**256)
            found = node.call("eth_getStorageAt", aivm, place, "latest")
            if worker[2:] in found:
                cleared = found.replace(worker[2:], "00" * 20)
                node.call("anvil_setStorageAt", aivm, "0x" + place[2:].zfill(64), cleared)
                request = world.client.request(proof.request_id)
                assert (request.worker, request.status) == ("0x" + "00" * 20, 4)
                assert not proof.holds()
                return
    raise AssertionError("the request's worker is nowhere in its storage")


@pytest.mark.parametrize(
    "bytes_",
    ["0x", "0x01", "0x" + "ff" * 13 * 32, "0x" + "00" * 13 * 32],
    ids=["nothing", "one byte", "all ones", "all zeros"],
)
def test_what_is_no_proof_does_not_hold_and_does_not_revert(proof: Proof, bytes_: str) -> None:
    client = proof.world.client
    assert not client.verifies(proof.challenge_id, proof.subject, bytes_)
    assert not client.verifies(proof.challenge_id, proof.subject, proof.encoded() + "00")


@pytest.mark.parametrize("challenge_id", [0, 9, 10, 504, 10**30])
def test_the_expected_response_is_written_in_decimal(world: World, challenge_id: int) -> None:
    said = world.client.view("poi_verifier", "expectedResponseHash", challenge_id)
    text = f'{{"challengeId":"{challenge_id}","verified":true}}'
    assert said == "0x" + keccak(text=text).hex()
