"""A node as a wallet sees it: JSON-RPC, signed transactions, receipts.

The node's URL may hold a key, so no message shows it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import requests
from eth_account import Account

from lightchallenge_dagster.devnet import abi
from lightchallenge_dagster.devnet.errors import (
    ContractRefused,
    DevnetError,
    NodeRefused,
    NodeUnavailable,
)
from lightchallenge_dagster.devnet.wallets import Wallet

RECEIPT_TIMEOUT_S = 60.0
POLL_S = (0.005, 0.05)  # first, longest: a node that mines at once has it after milliseconds
TIP_WEI = 10**9


class Node:
    """A connection to one node. Not for several threads at once."""

    def __init__(self, url: str, *, timeout_s: float = 20.0) -> None:
        self.url = url
        self._timeout_s = timeout_s
        self._session = requests.Session()
        # The node is on this machine: no proxy, no .netrc, and none of the time they take.
        self._session.trust_env = False
        self._chain_id: int | None = None

    def call(self, method: str, *params: object) -> Any:
        """One JSON-RPC call. Raises ``NodeRefused`` or ``NodeUnavailable``."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        return _result(method, cast("dict[str, Any]", self._post(method, body)))

    def batch(self, calls: Sequence[tuple[str, Sequence[object]]]) -> list[Any]:
        """Several calls in one request, results in order. Raises as ``call`` for the first bad."""
        if not calls:
            return []
        body = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
            for number, (method, params) in enumerate(calls)
        ]
        answers = {one["id"]: one for one in self._post("batch", body)}
        return [_result(method, answers[number]) for number, (method, _) in enumerate(calls)]

    def _post(self, method: str, body: object) -> Any:
        try:
            response = self._session.post(self.url, json=body, timeout=self._timeout_s)
            response.raise_for_status()
            return response.json()
        except requests.RequestException as error:
            # Without its cause: requests' own messages show the URL.
            raise NodeUnavailable(f"{method}: {type(error).__name__}") from None

    @property
    def chain_id(self) -> int:
        if self._chain_id is None:
            self._chain_id = int(self.call("eth_chainId"), 16)
        return self._chain_id

    def block_number(self) -> int:
        return int(self.call("eth_blockNumber"), 16)

    def now(self) -> int:
        """Chain time: the latest block's timestamp, epoch seconds."""
        return int(self.call("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def balance(self, address: str) -> int:
        """Native coins of ``address``, wei."""
        return int(self.call("eth_getBalance", address, "latest"), 16)

    def nonce(self, address: str) -> int:
        """The nonce of the next transaction of ``address``, those still waiting counted in."""
        return int(self.call("eth_getTransactionCount", address, "pending"), 16)

    def fees(self) -> dict[str, int]:
        """Fee fields of a transaction that a few full blocks do not outrun, wei.

        Not made of ``eth_gasPrice``: a node suggests what was paid lately, so twice its suggestion
        doubles the suggestion with every transaction.
        """
        return _fees(self.call("eth_getBlockByNumber", "latest", False))

    def view(
        self,
        to: str,
        data: str,
        *,
        sender: str | None = None,
        value: int = 0,
        block: str = "latest",
    ) -> str:
        """``eth_call``: what the contract answers. Raises ``ContractRefused`` with the error."""
        transaction = {"to": to, "data": data, "value": hex(value)}
        if sender is not None:
            transaction["from"] = sender
        try:
            return str(self.call("eth_call", transaction, block))
        except NodeRefused as error:
            raise _refusal(error, to, data) from None

    def sign(
        self,
        wallet: Wallet,
        to: str | None,
        data: str,
        *,
        nonce: int,
        gas: int,
        fees: Mapping[str, int],
        value: int = 0,
    ) -> str:
        """A signed transaction, ready for ``eth_sendRawTransaction`` (0x-hex)."""
        transaction: dict[str, Any] = {
            "chainId": self.chain_id,
            "nonce": nonce,
            "gas": gas,
            **fees,
            "value": value,
            "data": data,
        }
        if to is not None:
            transaction["to"] = bytes.fromhex(to[2:])
        signed = cast(Any, Account).sign_transaction(transaction, wallet.key)
        return "0x" + bytes(signed.raw_transaction).hex()

    def transact(self, wallet: Wallet, to: str, data: str, *, value: int = 0) -> dict[str, Any]:
        """Send a transaction and wait until it is mined; its receipt.

        Raises ``ContractRefused`` when the contract would refuse, or has refused, it.
        """
        transaction = {"from": wallet.address, "to": to, "data": data, "value": hex(value)}
        try:
            # Against the pending block: its time is what the transaction will see.
            gas, nonce, latest = self.batch(
                [
                    ("eth_estimateGas", [transaction, "pending"]),
                    ("eth_getTransactionCount", [wallet.address, "pending"]),
                    ("eth_getBlockByNumber", ["latest", False]),
                ]
            )
        except NodeRefused as error:
            raise _refusal(error, to, data) from None
        raw = self.sign(
            wallet,
            to,
            data,
            nonce=int(nonce, 16),
            gas=int(gas, 16) * 3 // 2,
            fees=_fees(latest),
            value=value,
        )
        receipt = self.receipts([self.call("eth_sendRawTransaction", raw)])[0]
        if int(receipt["status"], 16) != 1:
            self.view(to, data, sender=wallet.address, value=value, block=receipt["blockNumber"])
            raise ContractRefused("reverted", f"{to} {data[:10]}")
        return receipt

    def receipts(
        self, hashes: Iterable[str], *, timeout_s: float = RECEIPT_TIMEOUT_S
    ) -> list[dict[str, Any]]:
        """The receipts of transactions, once all are mined. Raises ``NodeUnavailable`` if late."""
        wanted = list(hashes)
        found: dict[str, dict[str, Any]] = {}
        deadline = time.monotonic() + timeout_s
        pause_s, longest_s = POLL_S
        while True:
            missing = [one for one in wanted if one not in found]
            answers = self.batch([("eth_getTransactionReceipt", [one]) for one in missing])
            found.update(
                (one, answer) for one, answer in zip(missing, answers, strict=True) if answer
            )
            if len(found) == len(wanted):
                return [found[one] for one in wanted]
            if time.monotonic() > deadline:
                raise NodeUnavailable(f"no receipt for {missing[0]} within {timeout_s:g} s")
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, longest_s)


def _fees(block: Mapping[str, Any]) -> dict[str, int]:
    base = int(block["baseFeePerGas"], 16)
    return {"maxFeePerGas": 4 * base + TIP_WEI, "maxPriorityFeePerGas": TIP_WEI}


def _result(method: str, answer: Mapping[str, Any]) -> Any:
    error = answer.get("error")
    if error is None:
        return answer["result"]
    data = error.get("data")
    raise NodeRefused(
        method,
        int(error.get("code", 0)),
        str(error.get("message", "refused")),
        data if isinstance(data, str) else None,
    )


def _refusal(error: NodeRefused, to: str, data: str) -> DevnetError:
    """A revert as ``ContractRefused``; anything else the node has against the call as it is."""
    if error.data is None and "revert" not in str(error).lower():
        return error
    return ContractRefused(abi.error_name(error.data), f"{to} {data[:10]}")
