"""Bytes that strangers chose, where the money steps read text: their own loss and nobody else's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from sqlalchemy import Engine

from lightchallenge_dagster.chain.abi import selector
from lightchallenge_dagster.devnet.deploy import Deployment
from tests import builders
from tests.steps.index_world import open_world
from tests.steps.money_world import Money, users
from tests.steps.test_settle import settled_beside

ALICE, BOB, CAROL = users("alice", "bob", "carol")
DAY = 86400
ERROR = selector("Error(string)")


@pytest.fixture
def money(database: Engine, devnet: Deployment) -> Iterator[Money]:
    for world in open_world(database, devnet):
        yield Money.of(world)


def reason(text: bytes) -> bytes:
    return ERROR + encode(["bytes"], [text])


def reverting(data: bytes) -> str:
    """Code of a contract that refuses every call with ``data``."""
    size = len(data).to_bytes(2, "big")
    code = b"\x61" + size + b"\x61\x00\x0f\x60\x00\x39\x61" + size + b"\x60\x00\xfd"
    return "0x" + (code + data).hex()


HOSTILE = {
    "plain": (reason(b"go away"), "go away"),
    "no UTF-8": (reason(b"\xff\xfe insufficient funds"), "\ufffd\ufffd insufficient funds"),
    "a NUL": (reason(b"a\0b"), "a\ufffdb"),
    "a length beyond all memory": (
        ERROR + (32).to_bytes(32, "big") + (2**255).to_bytes(32, "big") + bytes(32),
        "unknown error 0x08c379a0",
    ),
    "more than anybody reads": (reason(b"x" * 20_000), "x" * 500),
}


@pytest.mark.parametrize(("data", "words"), HOSTILE.values(), ids=list(HOSTILE))
def test_a_verifier_that_refuses_with_any_bytes_stops_its_own_challenge_only(
    money: Money, data: bytes, words: str
) -> None:
    poisoned, good, report = settled_beside(money, reverting(data))
    assert report.proved == [f"{good}:{CAROL.address}"]
    ((said,),) = builders.rows(
        money.engine,
        "select last_error from pipeline.intents where kind = 'proof' and challenge_id = :id",
        id=poisoned,
    )
    assert words in said
    assert len(said) < 1000


@pytest.mark.parametrize("words", ["rate limit exceeded", "missing trie node", "timeout"])
def test_a_contract_that_speaks_like_a_node_in_trouble_is_a_refusal_all_the_same(
    money: Money, words: str
) -> None:
    poisoned, good, report = settled_beside(money, two_faced(reason(words.encode())))
    assert report.proved == [f"{good}:{CAROL.address}"]
    assert report.refused == [f"{poisoned}:{BOB.address}: {words}"]


def two_faced(data: bytes) -> str:
    """Code that says true to whoever asks without a sender, and refuses others with ``data``."""
    size = len(data).to_bytes(2, "big")
    fork = bytes.fromhex("331560") + b"\x14" + b"\x57"
    refuse = (
        b"\x61" + size + bytes.fromhex("61001f600039") + b"\x61" + size + bytes.fromhex("6000fd")
    )
    accept = bytes.fromhex("5b600160005260206000f3")
    return "0x" + (fork + refuse + accept + data).hex()


def test_a_worker_that_answers_with_any_bytes_stops_its_own_request_only(money: Money) -> None:
    challenge = money.challenge([ALICE, BOB], duration_s=3 * DAY)
    money.passes(challenge, BOB)
    money.requested(challenge)
    (made,) = money.events("aivm_inference", "InferenceRequestedV2")
    answer_with(money, int(made.args["requestId"]), b"\xff\0")
    money.client.travel(3 * 3600)
    money.follow()
    report = money.reclaim()
    assert report.requeued == [challenge]
    assert money.request().submitted == [challenge]


def answer_with(money: Money, request_id: int, answer: bytes) -> None:
    """Commit to and reveal bytes, which no client of the contract's would send as a string."""
    client, worker, secret = money.client, money.network.worker, b"\x01" * 32
    packed = request_id.to_bytes(32, "big") + bytes.fromhex(worker.address[2:]) + secret
    commitment = "0x" + keccak(packed + keccak(answer)).hex()
    bond = client.view("aivm_inference", "minWorkerBondWei")
    client.send(worker, "aivm_inference", "depositBond", value=bond)
    client.send(worker, "aivm_inference", "commitInference", request_id, commitment)
    call = selector("revealInference(uint256,bytes32,string)")
    data = call + encode(["uint256", "bytes32", "bytes"], [request_id, secret, answer])
    client.node.transact(worker, client.address("aivm_inference"), "0x" + data.hex())
