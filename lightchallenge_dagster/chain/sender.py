"""What sending a transaction asks of a node: fees, simulation, broadcast, receipts.

Nothing here decides anything; ``steps.outbox`` does, and looks at the chain whenever an answer
from here leaves room for doubt.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from lightchallenge_dagster.chain.revert import Revert, decode_revert
from lightchallenge_dagster.chain.rpc import Rpc, RpcError, RpcUnavailable
from lightchallenge_dagster.errors import PermanentError
from lightchallenge_dagster.rules.receipts import Log, Receipt

Answer = Literal["accepted", "known", "nonce too low", "underpriced", "unfunded", "rejected"]

_GWEI = 10**9


@dataclass(frozen=True, slots=True)
class Fees:
    """Wei per gas. ``max_priority_fee_per_gas`` None means a legacy transaction's gas price."""

    max_fee_per_gas: int
    max_priority_fee_per_gas: int | None


@dataclass(frozen=True, slots=True)
class Simulated:
    """What a transaction would do now: the ``gas`` it takes, or the contract's refusal."""

    gas: int = 0
    refused: Revert | None = None


def _quantity(value: Any) -> int:
    try:
        return int(value, 16)
    except (TypeError, ValueError) as error:
        raise RpcUnavailable(f"the node answered {value!r:.60} for a number") from error


class Sender:
    """The node as the outbox uses it. Methods raise ``RpcError`` and ``RpcUnavailable``."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    def chain_id(self) -> int:
        """The chain this node follows."""
        return _quantity(self._rpc.call("eth_chainId", []))

    def head_number(self) -> int:
        """The latest block's number."""
        return _quantity(self._rpc.call("eth_blockNumber", []))

    def balance(self, wallet: str) -> int:
        """The wallet's coins at the latest block, in wei."""
        return _quantity(self._rpc.call("eth_getBalance", [wallet, "latest"]))

    def pending_nonce(self, wallet: str) -> int:
        """The next nonce, the node's waiting transactions included."""
        return _quantity(self._rpc.call("eth_getTransactionCount", [wallet, "pending"]))

    def mined_nonce(self, wallet: str) -> int:
        """How many of the wallet's transactions are mined: the lowest nonce that is unused."""
        return _quantity(self._rpc.call("eth_getTransactionCount", [wallet, "latest"]))

    def nonce_at(self, wallet: str, block_number: int) -> int:
        """How many of the wallet's transactions were mined up to a block."""
        block = hex(max(0, block_number))
        return _quantity(self._rpc.call("eth_getTransactionCount", [wallet, block]))

    def fees(self) -> Fees:
        """Fees that keep a transaction mineable while the base fee doubles.

        Asks the chain: a latest block without ``baseFeePerGas`` means legacy gas prices.
        """
        block = self._latest_block()
        if block.get("baseFeePerGas") is None:
            return Fees(_quantity(self._rpc.call("eth_gasPrice", [])), None)
        try:
            tip = _quantity(self._rpc.call("eth_maxPriorityFeePerGas", []))
        except RpcError:
            tip = _GWEI  # the method is optional
        return Fees(2 * _quantity(block["baseFeePerGas"]) + tip, tip)

    def block_gas_limit(self) -> int:
        """The gas that the latest block could hold."""
        return _quantity(self._latest_block().get("gasLimit"))

    def without_code(self, addresses: Collection[str]) -> set[str]:
        """Those of ``addresses`` that hold no contract at the latest block."""
        asked = sorted(addresses)
        codes = self._rpc.batch([("eth_getCode", [one, "latest"]) for one in asked])
        return {one for one, code in zip(asked, codes, strict=True) if code in (None, "0x")}

    def _latest_block(self) -> dict[str, Any]:
        block = self._rpc.call("eth_getBlockByNumber", ["latest", False])
        if not isinstance(block, dict):
            raise RpcUnavailable("eth_getBlockByNumber: the node shows no latest block")
        return cast("dict[str, Any]", block)

    def simulate(self, sender: str, to: str, data: str, value_wei: int) -> Simulated:
        """Estimate the gas of a call from ``sender``, which runs it; refusals come back by name."""
        call = {"from": sender, "to": to, "data": data, "value": hex(value_wei)}
        try:
            return Simulated(gas=_quantity(self._rpc.call("eth_estimateGas", [call])))
        except RpcError as error:
            revert = decode_revert(error.message, error.data)
            if revert is None:
                raise
            return Simulated(refused=revert)

    def broadcast(self, raw: str) -> tuple[Answer, str]:
        """Hand a signed transaction to the node: what it said, as a word and in its own text.

        No answer is proof of anything: *accepted* may be lost, *rejected* may have been accepted
        elsewhere. The caller looks for the hash afterwards.
        """
        try:
            self._rpc.call("eth_sendRawTransaction", [raw])
        except RpcError as error:
            return _classified(error.message.lower()), error.message
        return "accepted", ""

    def receipts(self, hashes: Sequence[str]) -> dict[str, Receipt]:
        """The receipts that exist, by hash, read in one request."""
        answers = self._rpc.batch([("eth_getTransactionReceipt", [one]) for one in hashes])
        return {
            one: _receipt_of(one, found)
            for one, found in zip(hashes, answers, strict=True)
            if found is not None
        }

    def knows(self, transaction_hash: str) -> bool:
        """Whether the node holds the transaction, waiting or mined."""
        return self._rpc.call("eth_getTransactionByHash", [transaction_hash]) is not None

    def spender(self, wallet: str, nonce: int, near: int, last: int) -> str | None:
        """The mined transaction that used ``nonce`` of ``wallet``, up to block ``last``: its hash.

        Found by the counts of states between blocks, from ``near`` outwards; None when the node
        does not show it. Raises ``RpcError`` for a state that the node no longer keeps.
        """
        below, step = max(0, min(near, last) - 1), 64
        while below > 0 and self.nonce_at(wallet, below) > nonce:
            below, step = max(0, below - step), step * 4
        while last - below > 1:
            middle = (below + last) // 2
            below, last = (
                (below, middle) if self.nonce_at(wallet, middle) > nonce else (middle, last)
            )
        block = self._rpc.call("eth_getBlockByNumber", [hex(last), True])
        for found in cast("dict[str, list[dict[str, Any]]]", block or {}).get("transactions", ()):
            if found["from"].lower() == wallet and _quantity(found["nonce"]) == nonce:
                return str(found["hash"]).lower()
        return None

    def branch(self, numbers: Collection[int]) -> tuple[int, dict[int, str]]:
        """The newest block's number, and the hashes of the blocks at ``numbers`` that are there.

        All in one request, so that one node answers: behind a load balancer some stand on a branch
        that the chain has left, and know nothing of what is on top of the others.
        """
        wanted = sorted(set(numbers))
        head, *blocks = self._rpc.batch(
            [
                ("eth_blockNumber", []),
                *(("eth_getBlockByNumber", [hex(number), False]) for number in wanted),
            ]
        )
        return _quantity(head), {
            number: str(block["hash"]).lower()
            for number, block in zip(wanted, blocks, strict=True)
            if block is not None and _quantity(block["number"]) == number
        }

    def require_chain(self, chain_id: int) -> None:
        """Raises ``PermanentError`` unless the node follows ``chain_id``."""
        if (found := self.chain_id()) != chain_id:
            raise PermanentError(
                f"the node follows chain {found}, not {chain_id}: nothing is sent; "
                "check LCAI_RPC and LCAI_CHAIN_ID"
            )


def _classified(message: str) -> Answer:
    if (
        "already known" in message
        or "already imported" in message
        or "known transaction" in message
    ):
        return "known"
    if "nonce too low" in message or "nonce is too low" in message or "old nonce" in message:
        return "nonce too low"
    if "underpriced" in message or "fee too low" in message or "less than block base" in message:
        return "underpriced"
    return "unfunded" if "insufficient funds" in message else "rejected"


def _receipt_of(transaction_hash: str, found: Any) -> Receipt:
    receipt = _receipt(found)
    if receipt.hash != transaction_hash:
        # A front that mixes up the answers of a batch has shown nothing about what was asked.
        raise RpcUnavailable(
            f"eth_getTransactionReceipt: asked for {transaction_hash}, told of {receipt.hash}"
        )
    return receipt


def _receipt(found: Any) -> Receipt:
    fields = cast("Mapping[str, Any]", found)
    try:
        return Receipt(
            hash=str(fields["transactionHash"]).lower(),
            block_number=_quantity(fields["blockNumber"]),
            block_hash=str(fields["blockHash"]).lower(),
            succeeded=_quantity(fields["status"]) == 1,
            gas_used=_quantity(fields["gasUsed"]),
            effective_gas_price=_quantity(fields.get("effectiveGasPrice") or "0x0"),
            logs=tuple(
                Log(
                    address=str(log["address"]).lower(),
                    topics=tuple(str(topic).lower() for topic in log["topics"]),
                    data=str(log["data"]).lower(),
                )
                for log in fields["logs"]
            ),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RpcUnavailable(
            f"eth_getTransactionReceipt: the receipt is incomplete ({error!r})"
        ) from error
