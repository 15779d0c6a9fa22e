"""What a node says about sending, as words that the outbox can act on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lightchallenge_dagster.chain.rpc import Rpc, RpcUnavailable
from lightchallenge_dagster.chain.sender import Fees, Sender
from lightchallenge_dagster.chain.signer import Signer
from lightchallenge_dagster.devnet.processes import Anvil
from lightchallenge_dagster.errors import PermanentError
from tests.steps.lying_node import LyingNode, Params, Refusal, bent

RECIPIENT = "0x00000000000000000000000000000000000a11ce"


@pytest.fixture
def node(anvil: Anvil) -> Iterator[LyingNode]:
    with LyingNode(anvil.url).serving() as lying:
        yield lying


def a_gift(anvil: Anvil, account: int = 0) -> str:
    """The hash of a mined transaction of one of anvil's accounts."""
    fields = {"from": anvil.accounts[account], "to": RECIPIENT, "value": "0x1"}
    return anvil.rpc("eth_sendTransaction", fields)


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("already known", "known"),
        ("transaction already imported", "known"),
        ("Known transaction", "known"),
        ("nonce too low: next nonce 5, tx nonce 3", "nonce too low"),
        ("Transaction nonce is too low. Try incrementing the nonce.", "nonce too low"),
        ("replacement transaction underpriced", "underpriced"),
        ("transaction underpriced: gas tip cap 1, minimum needed 1000000000", "underpriced"),
        ("max fee per gas less than block base fee", "underpriced"),
        ("insufficient funds for gas * price + value: balance 0", "unfunded"),
        ("intrinsic gas too low", "rejected"),
        ("nonce too high", "rejected"),
    ],
)
def test_what_clients_say_about_a_transaction_comes_back_as_a_word_and_in_their_text(
    node: LyingNode, words: str, answer: str
) -> None:
    def refuse(method: str, params: Params, truth: Any) -> Any:
        raise Refusal(words)

    node.lie = refuse
    assert Sender(Rpc(node.url)).broadcast("0x00") == (answer, words)


def test_a_transaction_is_sent_to_the_node_once_whatever_it_answers(node: LyingNode) -> None:
    def refuse(method: str, params: Params, truth: Any) -> Any:
        raise Refusal("internal error", -32603)

    node.lie = refuse
    Sender(Rpc(node.url, sleep=lambda _: None)).broadcast("0x00")
    assert node.count("eth_sendRawTransaction") == 1


def test_receipts_belong_to_the_hash_they_were_asked_for(anvil: Anvil) -> None:
    hashes = [a_gift(anvil) for _ in range(3)]
    missing = "0x" + "77" * 32
    found = Sender(Rpc(anvil.url)).receipts([hashes[2], missing, hashes[0]])
    assert {one: receipt.hash for one, receipt in found.items()} == {
        hashes[2]: hashes[2],
        hashes[0]: hashes[0],
    }


def test_the_receipt_of_another_transaction_is_no_answer(anvil: Anvil, node: LyingNode) -> None:
    ours, other = a_gift(anvil), a_gift(anvil)
    foreign = anvil.rpc("eth_getTransactionReceipt", other)
    node.lie = bent("eth_getTransactionReceipt", lambda _true: foreign)
    sender = Sender(Rpc(node.url, sleep=lambda _: None))
    with pytest.raises(RpcUnavailable):
        sender.receipts([ours])


@pytest.mark.parametrize("lacking", ["status", "blockHash", "logs", "gasUsed"])
def test_a_receipt_that_lacks_something_is_no_answer(
    anvil: Anvil, node: LyingNode, lacking: str
) -> None:
    ours = a_gift(anvil)

    def without(receipt: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in receipt.items() if key != lacking}

    node.lie = bent("eth_getTransactionReceipt", without)
    with pytest.raises(RpcUnavailable, match=lacking):
        Sender(Rpc(node.url, sleep=lambda _: None)).receipts([ours])


def test_a_chain_with_base_fees_is_paid_twice_its_base_fee_and_the_tip(
    anvil: Anvil, node: LyingNode
) -> None:
    node.lie = bent("eth_maxPriorityFeePerGas", lambda _true: hex(3))
    base = int(anvil.rpc("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)
    assert Sender(Rpc(node.url)).fees() == Fees(2 * base + 3, 3)


def test_a_node_that_names_no_tip_is_paid_a_gwei(anvil: Anvil, node: LyingNode) -> None:
    def unknown(method: str, params: Params, truth: Any) -> Any:
        if method == "eth_maxPriorityFeePerGas":
            raise Refusal("method not found", -32601)
        return truth()

    node.lie = unknown
    assert Sender(Rpc(node.url)).fees().max_priority_fee_per_gas == 10**9


def test_whoever_used_a_nonce_is_found_wherever_it_was_mined(anvil: Anvil) -> None:
    wallet = anvil.accounts[0]
    used: list[str] = []
    first = int(anvil.rpc("eth_getTransactionCount", wallet, "latest"), 16)
    for blocks in (1, 70, 3, 1):
        used.append(a_gift(anvil))
        a_gift(anvil, account=1)
        anvil.mine(blocks)
    head = anvil.block_number()
    sender = Sender(Rpc(anvil.url))
    for near in (0, 1, head // 2, head, head + 50):
        found = [sender.spender(wallet, first + at, near, head) for at in range(len(used))]
        assert found == used


def test_a_nonce_that_nobody_used_up_to_a_block_has_no_spender(anvil: Anvil) -> None:
    wallet = anvil.accounts[0]
    nonce = int(anvil.rpc("eth_getTransactionCount", wallet, "latest"), 16)
    anvil.mine(3)
    before = anvil.block_number()
    sent = a_gift(anvil)
    sender = Sender(Rpc(anvil.url))
    assert sender.spender(wallet, nonce, before, before) is None
    assert sender.spender(wallet, nonce, before, before + 1) == sent


def test_a_node_on_another_chain_is_named_with_what_to_check(anvil: Anvil) -> None:
    with pytest.raises(PermanentError, match=r"chain 504, not 9200.*LCAI_RPC"):
        Sender(Rpc(anvil.url)).require_chain(9200)


def test_a_signed_transaction_is_known_once_it_was_handed_over(anvil: Anvil) -> None:
    sender = Sender(Rpc(anvil.url))
    signer = Signer(anvil.keys[0])
    signed = signer.sign(
        {
            "chainId": 504,
            "nonce": sender.pending_nonce(signer.address),
            "to": RECIPIENT,
            "data": "0x",
            "value": 1,
            "gas": 21_000,
            "maxFeePerGas": sender.fees().max_fee_per_gas,
            "maxPriorityFeePerGas": 1,
        }
    )
    assert not sender.knows(signed.hash)
    assert sender.broadcast(signed.raw) == ("accepted", "")
    assert sender.knows(signed.hash)


@pytest.mark.parametrize("method", ["eth_getTransactionCount", "eth_getBalance", "eth_gasPrice"])
@pytest.mark.parametrize("said", [None, "", "soon", {}, 7])
def test_what_is_no_number_is_no_answer(
    anvil: Anvil, node: LyingNode, method: str, said: Any
) -> None:
    node.lie = bent(method, lambda _true: said)
    sender = Sender(Rpc(node.url, sleep=lambda _: None))
    ask: dict[str, Callable[[], object]] = {
        "eth_getTransactionCount": lambda: sender.mined_nonce(anvil.accounts[0]),
        "eth_getBalance": lambda: sender.balance(anvil.accounts[0]),
        "eth_gasPrice": sender.fees,
    }
    if method == "eth_gasPrice":
        node.lie = bent("eth_getBlockByNumber", lambda _true: said or None)
    with pytest.raises(RpcUnavailable):
        ask[method]()
