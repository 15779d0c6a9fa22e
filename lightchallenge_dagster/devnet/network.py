"""The inference network, simulated: one worker and its validators, who know only the chain.

The worker answers a request about a challenge with ``{"challengeId":"<N>","verified":true}``. What
challenge a request is about it finds out as anyone could: the prompt id is
keccak256(challengeId, subject), and challenges and stakers are on the chain. Everything else comes
from the chain too, and a secret from key and request, so that a restart loses nothing.

``python -m lightchallenge_dagster.devnet.network --rpc URL --aivm 0x… --challengepay 0x…`` runs it
until SIGTERM or SIGINT, one line per action.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any, cast

from eth_account import Account
from eth_utils.crypto import keccak

from lightchallenge_dagster.devnet import abi, wallets
from lightchallenge_dagster.devnet.deploy import Deployment
from lightchallenge_dagster.devnet.errors import (
    ContractRefused,
    DevnetError,
)
from lightchallenge_dagster.devnet.node import Node
from lightchallenge_dagster.devnet.wallets import Wallet

REQUESTED, COMMITTED, REVEALED, FINALIZED = 1, 2, 3, 4
GAS = 600_000
LOG_RANGE = 2000
# A block this far behind the head is not expected to change any more.
SETTLED_BLOCKS = 64
BOND_RESERVE = 10


def _silent(line: str) -> None:
    """Where nobody listens."""


def response_for(challenge_id: int) -> str:
    """What the worker answers about a challenge."""
    return f'{{"challengeId":"{challenge_id}","verified":true}}'


@dataclass(frozen=True, slots=True)
class Action:
    """One transaction of the network: ``bond``, ``commit``, ``reveal`` or ``attest``."""

    name: str
    request_id: int
    sender: str
    refused: str | None = None

    def __str__(self) -> str:
        outcome = "" if self.refused is None else f": refused, {self.refused}"
        about = f" request {self.request_id}" if self.request_id else ""
        return f"{self.name}{about} by {self.sender}{outcome}"


@dataclass(frozen=True, slots=True)
class _Move:
    action: Action
    wallet: Wallet
    data: str
    value: int = 0


@dataclass(frozen=True, slots=True)
class _Request:
    task_id: str
    prompt_id: str
    commit_deadline: int
    reveal_deadline: int
    finalize_deadline: int
    status: int
    worker: str
    commitment: str
    response_hash: str


class Network:
    """The worker and the validators. Not for several threads at once."""

    def __init__(
        self,
        rpc_url: str,
        aivm: str,
        challengepay: str,
        *,
        worker: Wallet | None = None,
        validators: Sequence[Wallet] | None = None,
        start_block: int = 0,
        log: Callable[[str], None] | None = None,
    ) -> None:
        """``start_block``: the first block that may hold ChallengePay's events."""
        self.node = Node(rpc_url)
        self.worker = worker or wallets.network_worker()
        self.validators = tuple(wallets.validators() if validators is None else validators)
        self._aivm_address = aivm.lower()
        self._pay_address = challengepay.lower()
        self._aivm = abi.load("AIVMInferenceV2")
        self._pay = abi.load("ChallengePay")
        self._start_block = start_block
        self._log = log or _silent
        self._forget()

    @classmethod
    def of(cls, deployment: Deployment, *, log: Callable[[str], None] | None = None) -> Network:
        """The network of a deployment, with anvil's accounts as worker and validators."""
        return cls(
            deployment.rpc_url,
            deployment.aivm_inference,
            deployment.challengepay,
            start_block=deployment.start_block,
            log=log,
        )

    def _forget(self) -> None:
        self._head = -1
        self._read_to = self._start_block - 1
        self._challenge_of: dict[str, int] = {}
        # Request id -> the head block at which it was first seen to be over.
        self._over: dict[int, int] = {}
        self._puzzled: set[int] = set()
        self._complaints: set[Action] = set()

    # ── one round ───────────────────────────────────────────────────────────────────────

    def step(self) -> list[Action]:
        """Do whatever can be done now, once: every request takes at most its next step.

        Returns what was done, refusals by the contract included; empty when there is nothing to
        do. Raises ``NodeUnavailable`` or ``NodeRefused``; the next call takes up from the chain.
        """
        latest = self.node.call("eth_getBlockByNumber", "latest", False)
        head, now = int(latest["number"], 16), int(latest["timestamp"], 16)
        if head < self._head:
            # The chain was set back: nothing that is remembered needs to be true any more.
            self._forget()
        self._read_stakers(head)
        self._head = head
        moves = self._next_moves(now)
        if any(move.action.name == "commit" for move in moves) and (bond := self._missing_bond()):
            # Without a bond no commitment is possible yet: they come in the next round.
            moves = [bond, *(move for move in moves if move.action.name != "commit")]
        return self._perform(moves) if moves else []

    def run_until_idle(self, *, limit: int = 50) -> list[Action]:
        """``step`` until nothing can be done; all that was done.

        Raises ``DevnetError`` after ``limit`` rounds: the contract refuses over and over.
        """
        done: list[Action] = []
        for _ in range(limit):
            actions = self.step()
            if not actions:
                return done
            done += actions
        raise DevnetError(f"the network is still busy after {limit} rounds: {done[-1]}")

    def run(self, stop: threading.Event, *, poll_s: float = 1.0) -> None:
        """``step`` every ``poll_s`` seconds until ``stop`` is set.

        Outlives the node's outages, and a chain on which the contracts are still missing.
        """
        trouble = ""
        while not stop.is_set():
            try:
                self.step()
            except DevnetError as error:
                # What lasts is said once.
                if str(error) != trouble:
                    trouble = str(error)
                    self._log(f"waiting: {trouble}")
            else:
                if trouble:
                    self._log("going on")
                trouble = ""
            stop.wait(poll_s)

    # ── reading the chain ───────────────────────────────────────────────────────────────

    def _read_stakers(self, head: int) -> None:
        """Learn the prompt ids of all (challenge, staker) up to ``head``.

        The last blocks are read again each time: after a reorg they may hold others.
        """
        first = max(self._start_block, min(self._read_to + 1, head + 1 - SETTLED_BLOCKS))
        topics = [self._pay.topic("ChallengeCreated"), self._pay.topic("Joined")]
        for start in range(first, head + 1, LOG_RANGE):
            end = min(start + LOG_RANGE - 1, head)
            logs = self.node.call(
                "eth_getLogs",
                {
                    "address": self._pay_address,
                    "topics": [topics],
                    "fromBlock": hex(start),
                    "toBlock": hex(end),
                },
            )
            for log in logs:
                challenge_id, staker = int(log["topics"][1], 16), "0x" + log["topics"][2][-40:]
                self._challenge_of[abi.prompt_id(challenge_id, staker)] = challenge_id
            self._read_to = end

    def _view(self, function: str, *args: object) -> Any:
        return self._views([(function, args)])[0]

    def _views(self, calls: Sequence[tuple[str, Sequence[object]]]) -> list[Any]:
        answers = self.node.batch(
            [
                (
                    "eth_call",
                    [
                        {"to": self._aivm_address, "data": self._aivm.encode(function, *args)},
                        "latest",
                    ],
                )
                for function, args in calls
            ]
        )
        return [
            self._aivm.decode(function, answer)
            for (function, _), answer in zip(calls, answers, strict=True)
        ]

    def _open_requests(self) -> dict[int, _Request]:
        count = int(self._view("nextRequestId"))
        ids = [
            request_id
            for request_id in range(1, count)
            if self._head - self._over.get(request_id, self._head) <= SETTLED_BLOCKS
        ]
        found: dict[int, _Request] = {}
        rows = self._views([("requests", (request_id,)) for request_id in ids])
        for request_id, row in zip(ids, rows, strict=True):
            if row[12] in (REQUESTED, COMMITTED, REVEALED):
                self._over.pop(request_id, None)
                found[request_id] = _Request(
                    task_id=row[6],
                    prompt_id=row[5],
                    commit_deadline=row[9],
                    reveal_deadline=row[10],
                    finalize_deadline=row[11],
                    status=row[12],
                    worker=row[13],
                    commitment=row[14],
                    response_hash=row[16],
                )
            else:
                self._over.setdefault(request_id, self._head)
        return found

    # ── deciding ────────────────────────────────────────────────────────────────────────

    def _next_moves(self, now: int) -> list[_Move]:
        moves: list[_Move] = []
        for request_id, request in self._open_requests().items():
            if request.status == REVEALED:
                if now <= request.finalize_deadline:
                    moves += self._attestations(request_id, request)
                continue
            challenge_id = self._challenge_of.get(request.prompt_id)
            if challenge_id is None:
                if request_id not in self._puzzled:
                    self._log(f"request {request_id} is about no staker of a known challenge")
                    self._puzzled.add(request_id)
                continue
            response = response_for(challenge_id)
            if request.status == REQUESTED and now <= request.commit_deadline:
                commitment = self._commitment(request_id, response)
                moves.append(
                    self._move("commit", request_id, "commitInference", request_id, commitment)
                )
            elif (
                request.status == COMMITTED
                and now <= request.reveal_deadline
                # Another worker's commitment is that worker's to reveal.
                and request.worker == self.worker.address
                and request.commitment == self._commitment(request_id, response)
            ):
                secret = self._secret(request_id)
                moves.append(
                    self._move(
                        "reveal", request_id, "revealInference", request_id, secret, response
                    )
                )
        return moves

    def _attestations(self, request_id: int, request: _Request) -> list[_Move]:
        """As many as the quorum still wants: one more would be refused."""
        quorum, count, agreed, *attested = self._views(
            [
                ("poiQuorum", ()),
                ("poiAttestationCount", (request.task_id,)),
                ("poiResultHashByTask", (request.task_id,)),
                *(("hasAttested", (request.task_id, one.address)) for one in self.validators),
            ]
        )
        if int(agreed, 16) and agreed != request.response_hash:
            return []
        willing = [
            validator for validator, done in zip(self.validators, attested, strict=True) if not done
        ]
        return [
            self._attestation(request_id, request, validator)
            for validator in willing[: max(0, quorum - count)]
        ]

    def _attestation(self, request_id: int, request: _Request, validator: Wallet) -> _Move:
        transcript = "0x" + keccak(text=f"transcript of request {request_id}").hex()
        message = {
            "taskId": bytes.fromhex(request.task_id[2:]),
            "resultHash": bytes.fromhex(request.response_hash[2:]),
            "transcriptHash": bytes.fromhex(transcript[2:]),
            "slot": self._head,
        }
        signature = sign_attestation(validator, self.node.chain_id, self._aivm_address, message)
        return self._move(
            "attest",
            request_id,
            "submitPoIAttestation",
            request.task_id,
            request.response_hash,
            transcript,
            self._head,
            signature,
            wallet=validator,
        )

    def _missing_bond(self) -> _Move | None:
        bond, minimum = self._views([("bondOf", (self.worker.address,)), ("minWorkerBondWei", ())])
        if bond >= minimum:
            return None
        return self._move("bond", 0, "depositBond", value=BOND_RESERVE * minimum - bond)

    def _secret(self, request_id: int) -> str:
        key = bytes.fromhex(self.worker.key.removeprefix("0x"))
        place = f"{self.node.chain_id}:{self._aivm_address}:{request_id}".encode()
        return "0x" + keccak(key + place).hex()

    def _commitment(self, request_id: int, response: str) -> str:
        packed = (
            request_id.to_bytes(32, "big")
            + bytes.fromhex(self.worker.address[2:])
            + bytes.fromhex(self._secret(request_id)[2:])
            + keccak(text=response)
        )
        return "0x" + keccak(packed).hex()

    def _move(
        self,
        name: str,
        request_id: int,
        function: str,
        *args: object,
        wallet: Wallet | None = None,
        value: int = 0,
    ) -> _Move:
        sender = wallet or self.worker
        data = self._aivm.encode(function, *args)
        return _Move(Action(name, request_id, sender.address), sender, data, value)

    # ── acting ──────────────────────────────────────────────────────────────────────────

    def _perform(self, moves: Sequence[_Move]) -> list[Action]:
        """Send every move, then wait for all of them: a block may take its time."""
        fees = self.node.fees()
        nonces: dict[str, int] = {}
        sent: list[tuple[_Move, str]] = []
        done: list[Action] = []
        for move in moves:
            address = move.wallet.address
            try:
                self.node.view(
                    self._aivm_address,
                    move.data,
                    sender=address,
                    value=move.value,
                    block="pending",
                )
            except ContractRefused as refusal:
                done.append(
                    Action(move.action.name, move.action.request_id, address, refusal.error)
                )
                continue
            if address not in nonces:
                nonces[address] = self.node.nonce(address)
            raw = self.node.sign(
                move.wallet,
                self._aivm_address,
                move.data,
                nonce=nonces[address],
                gas=GAS,
                fees=fees,
                value=move.value,
            )
            sent.append((move, self.node.call("eth_sendRawTransaction", raw)))
            nonces[address] += 1
        receipts = self.node.receipts([transaction for _, transaction in sent])
        for (move, _), receipt in zip(sent, receipts, strict=True):
            mined = int(receipt["status"], 16) == 1
            done.append(move.action if mined else self._refused(move, receipt))
        for action in done:
            # A refusal that lasts is said once.
            if action.refused is None or action not in self._complaints:
                self._log(str(action))
            if action.refused is not None:
                self._complaints.add(action)
        return done

    def _refused(self, move: _Move, receipt: dict[str, Any]) -> Action:
        sender = move.wallet.address
        try:
            self.node.view(
                self._aivm_address,
                move.data,
                sender=sender,
                value=move.value,
                block=receipt["blockNumber"],
            )
        except ContractRefused as refusal:
            return Action(move.action.name, move.action.request_id, sender, refusal.error)
        return Action(move.action.name, move.action.request_id, sender, "reverted")


def sign_attestation(
    validator: Wallet, chain_id: int, aivm: str, message: Mapping[str, object]
) -> str:
    """A validator's EIP-712 signature (65 bytes, 0x-hex) over a PoIAttestation.

    ``message`` has ``taskId resultHash transcriptHash`` (bytes) and ``slot`` (int).
    """
    domain = {
        "name": "LCAI-PoI-Attestation",
        "version": "1",
        "chainId": chain_id,
        "verifyingContract": aivm,
    }
    types = {
        "PoIAttestation": [
            {"name": "taskId", "type": "bytes32"},
            {"name": "resultHash", "type": "bytes32"},
            {"name": "transcriptHash", "type": "bytes32"},
            {"name": "slot", "type": "uint64"},
        ]
    }
    signed = cast(Any, Account).sign_typed_data(validator.key, domain, types, dict(message))
    return "0x" + bytes(signed.signature).hex()


def main(argv: list[str] | None = None) -> int:
    """The process: runs until SIGTERM or SIGINT, then returns 0."""
    parser = argparse.ArgumentParser(description="Simulate the inference network on a local chain.")
    parser.add_argument("--rpc", required=True, help="the node's URL")
    parser.add_argument("--aivm", required=True, help="AIVMInferenceV2's address")
    parser.add_argument("--challengepay", required=True, help="ChallengePay's address")
    parser.add_argument("--start-block", type=int, default=0, metavar="BLOCK")
    parser.add_argument("--poll", type=float, default=1.0, metavar="SECONDS")
    options = parser.parse_args(argv)
    stop = threading.Event()

    def finish(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, finish)

    def log(line: str) -> None:
        sys.stdout.write(f"network: {line}\n")
        sys.stdout.flush()

    network = Network(
        options.rpc, options.aivm, options.challengepay, start_block=options.start_block, log=log
    )
    log(f"worker {network.worker.address}, {len(network.validators)} validators")
    network.run(stop, poll_s=options.poll)
    log("stopped")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
