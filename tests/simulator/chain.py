"""Seeded traffic on the devnet's contracts, and reorgs under it.

``Base`` is a deployment that many seeds start from; ``Chain`` is one seed's actor. It learns what
happened from the blocks' own logs, so a reorg that takes some of them away leaves it with what is
true of the new branch, and it goes on from there.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar

from eth_abi.abi import encode as abi_encode
from eth_utils.crypto import keccak

from lightchallenge_dagster.devnet import abi, wallets
from lightchallenge_dagster.devnet.deploy import CONTRACTS, Deployment, deploy
from lightchallenge_dagster.devnet.network import sign_attestation
from lightchallenge_dagster.devnet.processes import start_anvil
from lightchallenge_dagster.devnet.supervisor import Handle, Supervisor
from tests.simulator import evm
from tests.simulator.node import Node

ARGUMENTS = (
    "--slots-in-an-epoch", "64", "--timestamp", "1700000000", "--base-fee", "0",
    "--gas-price", "0", "--order", "fifo", "--auto-impersonate",
)  # fmt: skip
DEEPEST = 64
GAS = hex(1_500_000)
ETHER = 10**18
USERS = tuple("0x" + keccak(text=f"simulated user {n}")[-20:].hex() for n in range(8))
GENEROUS = "0x" + "7e57" * 10
LEGACY = "0x" + "1e9a" * 10
LEGACY_EVENTS = (
    "PrincipalClaimed", "CashbackClaimed", "ValidatorClaimed", "ValidatorRejectClaimed",
    "RejectCreatorClaimed", "RejectContributionClaimed",
)  # fmt: skip
ROLES = (
    "challengepay", "treasury", "aivm_inference", "task_registry", "achievement",
    "metadata_registry",
)  # fmt: skip
_FRONTED = ("challengepay", "treasury", "aivm_inference", "achievement", "metadata_registry")
_ACHIEVEMENTS_SLOT = 3
_INVENTED = 5000
"""Tokens from here on were never minted, only spoken of."""
_HASH = "0x" + "00" * 32
_ADMIN_MINTED = evm.topic("AdminMinted(uint256,address,uint256)")

Call = tuple[str, str, str, int]
"""From, to, data, wei."""


@dataclass(slots=True)
class Base:
    """An anvil with the contracts, their fronts and funded users; seeds start at ``first``."""

    url: str
    node: Node
    deployment: Deployment
    first: int
    now: int
    handle: Handle

    def stop(self) -> None:
        """End the node."""
        self.handle.stop()

    @property
    def addresses(self) -> dict[str, str]:
        """Role -> address, as the indexer is told."""
        known = {role: str(getattr(self.deployment, role)) for role in ROLES}
        return known | {"legacy_challengepay_1": LEGACY}

    def back(self) -> None:
        """Forget what a seed did."""
        head = int(self.node.call("eth_blockNumber"), 16)
        if head > self.first:
            self.node.call("anvil_rollback", head - self.first)


def prepare(supervisor: Supervisor) -> Base:
    """Start anvil and make the world that every seed begins with."""
    anvil = start_anvil(supervisor, name="anvil-simulator", arguments=ARGUMENTS)
    deployment = deploy(anvil.url, min_lead_s=1)
    node = Node(anvil.url)
    node.call("evm_setAutomine", False)
    for number, role in enumerate(_FRONTED):
        address = getattr(deployment, role)
        behind = "0x" + f"{0xBE41 + number:040x}"
        node.call("anvil_setCode", behind, node.call("eth_getCode", address, "latest"))
        node.call("anvil_setCode", address, evm.front(behind))
    node.call("anvil_setCode", LEGACY, evm.front("0x" + "00" * 19 + "fe"))
    node.call("anvil_setCode", GENEROUS, evm.ALWAYS_TRUE)
    worker = wallets.network_worker().address
    token = abi.load("DevnetToken")
    for user in (*USERS, deployment.admin.address, worker):
        node.call("anvil_setBalance", user, hex(10**9 * ETHER))
    calls: list[Call] = [
        (
            worker,
            deployment.aivm_inference,
            abi.load("AIVMInferenceV2").encode("depositBond"),
            ETHER,
        )
    ]
    for user in USERS:
        calls.append((user, deployment.token, token.encode("mint", user, 10**9 * ETHER), 0))
        spender = deployment.challengepay
        calls.append((user, deployment.token, token.encode("approve", spender, 10**30), 0))
    for call in calls:
        node.call("eth_sendTransaction", _transaction(call))
    node.call("evm_mine")
    head = node.call("eth_getBlockByNumber", "latest", False)
    return Base(
        anvil.url,
        node,
        deployment,
        int(head["number"], 16),
        int(head["timestamp"], 16),
        anvil.handle,
    )


def _transaction(call: Call) -> dict[str, str]:
    sender, to, data, value = call
    return {"from": sender, "to": to, "data": data, "value": hex(value), "gas": GAS}


@dataclass(slots=True)
class _Challenge:
    creator: str
    token: bool
    verifier: str
    join_closes: int
    start: int
    end: int
    deadline: int
    status: str = "active"
    paused: bool = False
    stakes: set[str] = field(default_factory=set[str])
    winners: set[str] = field(default_factory=set[str])
    claimed: set[str] = field(default_factory=set[str])


@dataclass(slots=True)
class _Request:
    task_id: str
    status: str = "requested"
    attested: int = 0


@dataclass(slots=True)
class _Block:
    number: int
    hash: str
    timestamp: int
    calls: list[Call]
    events: list[tuple[str, dict[str, Any]]]


class Chain:
    """One seed's chain: ``mine`` adds blocks, ``reorg`` replaces some.

    ``reorgs`` holds the depths, ``events`` counts what was emitted by name, on any branch.
    """

    def __init__(self, base: Base, rng: random.Random) -> None:
        base.back()
        self.base = base
        self.node = base.node
        self._rng = rng
        self._abi = {getattr(base.deployment, role): abi.load(CONTRACTS[role]) for role in ROLES}
        self._blocks: list[_Block] = []
        self._facts: dict[tuple[str, int], _Challenge] = {}
        self._gone: list[Call] = []
        self.high_water = base.first
        self.floor = base.first
        """No reorg reaches down to this block."""
        self.reorgs: list[int] = []
        self.shorter = 0
        self.events: Counter[str] = Counter()
        self.mined = 0
        head = self.node.call("eth_getBlockByNumber", hex(base.first), False)
        self._now = int(head["timestamp"], 16)
        self._used: set[tuple[int, int]] = set()
        self._forget()

    @property
    def head(self) -> int:
        return self.base.first + len(self._blocks)

    def mine(self, count: int = 1) -> None:
        """Blocks with what comes to mind, some of them empty."""
        for _ in range(count):
            self._mine_one(self._block_of_calls())

    def empty(self, count: int) -> None:
        """Blocks with nothing in them."""
        for _ in range(count):
            self._mine_one([])

    def reorg(self, deepest: int = DEEPEST) -> int:
        """Replace the last blocks by others, fewer or more; the depth, 0 when nothing is there.

        Never deeper than ``DEEPEST`` below the highest block there ever was, so that a reader who
        saw that one is never asked to go back further.
        """
        rng = self._rng
        lowest = max(self.floor, self.high_water - DEEPEST)
        possible = min(self.head - lowest, deepest)
        if possible < 1:
            return 0
        depth = min(possible, rng.choice((1, 1, 1, 2, 2, 3, 5, 8, 13, 21, 34, 55, 64)))
        if rng.random() < 0.2:
            depth = rng.randint(1, possible)
        gone = self._blocks[-depth:]
        if rng.random() < 0.15:
            # anvil's own: as many blocks, empty, at times of its choice.
            self.node.call("anvil_reorg", depth, [])
            self._reread(self.head - depth + 1)
        else:
            self.node.call("anvil_rollback", depth)
            del self._blocks[-depth:]
            self._now = self._blocks[-1].timestamp if self._blocks else self.base.now
            self._replay()
            # Most transactions of an orphaned block come back, in other blocks and another order.
            self._gone = [
                call
                for block in gone
                for call in block.calls
                if rng.random() < 0.6 and not _needs_its_neighbours(call)
            ]
            if rng.random() < 0.3:
                rng.shuffle(self._gone)
            length = max(1, depth + rng.choice((-depth, -5, -2, -1, 0, 0, 1, 1, 2, 4)))
            self.shorter += length < depth
            self.mine(length)
            self._gone = []
        # anvil may make an empty block again as it was: those did not change.
        now = {block.number: block.hash for block in self._blocks}
        changed = [block.number for block in gone if now.get(block.number) != block.hash]
        if not changed:
            return 0
        self.reorgs.append(gone[-1].number - changed[0] + 1)
        return self.reorgs[-1]

    # ── blocks ──────────────────────────────────────────────────────────────────────────

    def _mine_one(self, calls: list[Call]) -> None:
        rng, node = self._rng, self.node
        self._now += (
            rng.choice((1, 2, 2, 3, 12, 30)) if rng.random() < 0.93 else rng.randint(60, 400)
        )
        number = self.head + 1
        # Another branch's block of this height never has this block's time, so never its hash.
        while (number, self._now) in self._used:
            self._now += 1
        for call in calls:
            node.call("eth_sendTransaction", _transaction(call))
        node.call("evm_setNextBlockTimestamp", hex(self._now))
        node.call("evm_mine")
        self._take(number, calls)

    def _take(self, number: int, calls: list[Call]) -> None:
        header = self.node.call("eth_getBlockByNumber", hex(number), False)
        self._now = int(header["timestamp"], 16)
        self._used.add((number, self._now))
        block = _Block(number, header["hash"], self._now, calls, [])
        if calls:
            for log in self.node.call("eth_getLogs", {"blockHash": header["hash"]}):
                known = self._abi.get(log["address"])
                if known is None:
                    self.events["legacy" if log["address"] == LEGACY else "other"] += 1
                    continue
                try:
                    event = known.decode_log(log)
                except Exception:  # noqa: BLE001
                    event = None
                if event is None:
                    self.events["undecodable"] += 1
                    continue
                self.events[event.name] += 1
                block.events.append((event.name, dict(event.args)))
                if event.name == "ChallengeCreated":
                    self._facts[header["hash"], event.args["id"]] = self._ask(event.args["id"])
        self._blocks.append(block)
        self.mined += 1
        self.high_water = max(self.high_water, number)
        self._apply(block)

    def _reread(self, first: int) -> None:
        """The blocks from ``first`` on are others now: empty ones of anvil's making."""
        count = self.head - first + 1
        del self._blocks[-count:]
        self._replay()
        for number in range(first, first + count):
            self._take(number, [])

    def _ask(self, challenge_id: int) -> _Challenge:
        pay = self.base.deployment.challengepay
        data = self._abi[pay].encode("getChallenge", challenge_id)
        found = self._abi[pay].decode(
            "getChallenge", self.node.call("eth_call", {"to": pay, "data": data}, "latest")
        )
        return _Challenge(
            found[4], found[5] == 1, found[14], found[8], found[9], found[9] + found[10], found[15]
        )

    # ── what is true on this branch ─────────────────────────────────────────────────────

    def _forget(self) -> None:
        self.challenges: dict[int, _Challenge] = {}
        self.requests: dict[int, _Request] = {}
        self.bound: set[tuple[int, str]] = set()
        self.tokens: list[int] = []
        self.paused_all = False
        self.granted: list[tuple[int, str]] = []

    def _replay(self) -> None:
        self._forget()
        for block in self._blocks:
            self._apply(block)

    def _apply(self, block: _Block) -> None:
        for name, args in block.events:
            self._learn(block.hash, name, args)

    def _learn(self, block_hash: str, name: str, args: dict[str, Any]) -> None:
        if name == "ChallengeCreated":
            fact = self._facts[block_hash, args["id"]]
            self.challenges[args["id"]] = _Challenge(
                fact.creator, fact.token, fact.verifier, fact.join_closes, fact.start, fact.end,
                fact.deadline, stakes={fact.creator},
            )  # fmt: skip
            return
        if name in {
            "InferenceRequestedV2",
            "InferenceCommitted",
            "InferenceRevealed",
            "PoIAttested",
            "InferenceFinalized",
        }:
            self._learn_request(name, args)
            return
        if name == "GlobalPaused":
            self.paused_all = args["paused"]
        elif name == "BindingRecorded":
            self.bound.add((args["challengeId"], args["subject"]))
        elif name == "BindingCleared":
            self.bound.discard((args["challengeId"], args["subject"]))
        elif name == "AchievementMinted" and args["tokenId"] < _INVENTED:
            self.tokens.append(args["tokenId"])
        challenge = self.challenges.get(args.get("id", -1))
        if challenge is None:
            return
        if name == "Joined":
            challenge.stakes.add(args["user"])
        elif name == "WinnerMarked":
            challenge.winners.add(args["participant"])
        elif name == "VerificationConfigUpdated":
            challenge.verifier, challenge.deadline = args["verifier"], args["proofDeadlineTs"]
        elif name == "Paused":
            challenge.paused = args["paused"]
        elif name == "Finalized":
            challenge.status = "finalized"
        elif name == "Canceled":
            challenge.status = "canceled"
        elif name in {"WinnerClaimed", "LoserClaimed", "RefundClaimed"}:
            challenge.claimed.add(args["user"])
            self.granted.append((args["id"], args["user"]))

    def _learn_request(self, name: str, args: dict[str, Any]) -> None:
        if name == "InferenceRequestedV2":
            self.requests[args["requestId"]] = _Request(args["taskId"])
            return
        if name == "PoIAttested":
            for request in self.requests.values():
                if request.task_id == args["taskId"]:
                    request.attested = args["count"]
            return
        request = self.requests.get(args["requestId"])
        if request is not None:
            request.status = name.removeprefix("Inference").lower()

    # ── what people do ──────────────────────────────────────────────────────────────────

    def _block_of_calls(self) -> list[Call]:
        rng = self._rng
        calls: list[Call] = []
        while self._gone and rng.random() < 0.6:
            calls.append(self._gone.pop(0))
        if rng.random() < 0.3:
            return calls
        for _ in range(rng.choice((1, 1, 2, 3, 5)) if rng.random() < 0.97 else 12):
            act, _ = rng.choices(self.ACTS, self._WEIGHTS)[0]
            calls += act(self)
        return calls

    def _send(self, who: str, role: str, function: str, *args: object, value: int = 0) -> Call:
        to = str(getattr(self.base.deployment, role))
        return who, to, abi.load(CONTRACTS[role]).encode(function, *args), value

    def _emit(self, role: str, signature: str, indexed: list[int | str], data: str = "") -> Call:
        to = LEGACY if role == "legacy" else str(getattr(self.base.deployment, role))
        topics = [evm.topic(signature), *(evm.word(one) for one in indexed)]
        return self._user(), to, evm.emitting(topics, data), 0

    def _user(self) -> str:
        return self._rng.choice(USERS)

    @property
    def _admin(self) -> str:
        return self.base.deployment.admin.address

    def _any(self, wanted: Callable[[_Challenge], bool]) -> tuple[int, _Challenge] | None:
        found = [(one, c) for one, c in self.challenges.items() if wanted(c)]
        return self._rng.choice(found) if found else None

    def _create(self) -> list[Call]:
        rng = self._rng
        if len(self.challenges) > 14 and rng.random() < 0.7:
            return []
        start = self._now + rng.choice((40, 60, 120))
        duration = rng.choice((1, 10, 60))
        deadline = start + duration + rng.choice((0, 20, 90))
        if rng.random() < 0.04:
            deadline = 2**200
        native = rng.random() < 0.7
        stake = rng.choice((ETHER, 3, 10**17 + 7))
        verifier = GENEROUS if rng.random() < 0.8 else self.base.deployment.poi_verifier
        params = (
            rng.randint(0, 3), 0 if native else 1,
            "0x" + "00" * 20 if native else self.base.deployment.token,
            stake, 0 if rng.random() < 0.7 else start - 5, start, duration,
            rng.choice((0, 0, 3)), verifier, deadline,
            _HASH if rng.random() < 0.5 else "0x" + rng.randbytes(32).hex(),
        )  # fmt: skip
        who = self._user()
        calls = [
            self._send(who, "challengepay", "createChallenge", params, value=stake if native else 0)
        ]
        if rng.random() < 0.2:
            # A join in the block of the creation, also by the creator, if the id comes as expected.
            calls.append(
                self._send(
                    rng.choice((who, self._user())),
                    "challengepay",
                    "joinChallengeNative",
                    max(self.challenges, default=1) + 1,
                    value=11,
                )
            )
        return calls

    def _join(self) -> list[Call]:
        found = self._any(
            lambda c: c.status == "active" and not c.paused and c.join_closes > self._now + 3
        )
        if found is None:
            return self._create()
        one, challenge = found
        wei = self._rng.choice((1, 5, ETHER))
        if challenge.token:
            return [self._send(self._user(), "challengepay", "joinChallengeERC20", one, wei)]
        return [self._send(self._user(), "challengepay", "joinChallengeNative", one, value=wei)]

    def _prove(self) -> list[Call]:
        found = self._any(
            lambda c: (
                c.status == "active" and c.start <= self._now + 3 and c.deadline > self._now + 3
            )
        )
        if found is None:
            return []
        one, challenge = found
        left = sorted(challenge.stakes - challenge.winners)
        if not left:
            return []
        who = self._rng.choice(left)
        if self._rng.random() < 0.3:
            return [self._send(who, "challengepay", "submitMyProof", one, "0x")]
        return [self._send(self._admin, "challengepay", "submitProofFor", one, who, "0x")]

    def _pause(self) -> list[Call]:
        found = self._any(lambda c: c.status == "active")
        if found is None:
            return []
        one, challenge = found
        return [
            self._send(self._admin, "challengepay", "pauseChallenge", one, not challenge.paused)
        ]

    def _pause_all(self) -> list[Call]:
        calls = [self._send(self._admin, "challengepay", "pauseAll", not self.paused_all)]
        if not self.paused_all:
            calls.append(self._send(self._admin, "challengepay", "pauseAll", False))
        return calls

    def _reconfigure(self) -> list[Call]:
        found = self._any(lambda c: c.status == "active")
        if found is None:
            return []
        one, challenge = found
        deadline = max(challenge.end, self._now) + self._rng.randint(0, 100)
        verifier = self._rng.choice((GENEROUS, self.base.deployment.poi_verifier))
        return [
            self._send(
                self._admin, "challengepay", "setVerificationConfig", one, verifier, deadline
            )
        ]

    def _finalize(self) -> list[Call]:
        if self._rng.random() < 0.06:
            never = max(self.challenges, default=1) + self._rng.randint(1, 4)
            return [self._send(self._user(), "challengepay", "finalize", never)]
        found = self._any(
            lambda c: c.status == "active" and max(c.end, c.deadline) <= self._now + 1
        )
        if found is None:
            return []
        one, challenge = found
        calls = [self._send(self._user(), "challengepay", "finalize", one)]
        if challenge.paused or self._rng.random() < 0.2:
            # One block, in this order: paused and unpaused, then final.
            calls.insert(0, self._send(self._admin, "challengepay", "pauseChallenge", one, False))
        return calls

    def _cancel(self) -> list[Call]:
        found = self._any(lambda c: c.status == "active" and not c.winners)
        if found is None:
            return []
        one, challenge = found
        who = self._rng.choice((challenge.creator, self._admin))
        return [self._send(who, "challengepay", "cancelChallenge", one)]

    def _claim(self) -> list[Call]:
        found = self._any(lambda c: c.status != "active" and bool(c.stakes - c.claimed))
        if found is None:
            return self._finalize()
        one, challenge = found
        left = sorted(challenge.stakes - challenge.claimed)
        winners = [user for user in left if user in challenge.winners]
        losers = [user for user in left if user not in challenge.winners]
        who = self._rng.choice(left)
        if challenge.status == "canceled":
            if self._rng.random() < 0.4:
                return [self._send(self._user(), "challengepay", "autoRefund", one, left)]
            return [self._send(who, "challengepay", "claimRefund", one)]
        if self._rng.random() < 0.3:
            return [
                self._send(self._user(), "challengepay", "autoDistribute", one, winners, losers)
            ]
        function = "claimWinner" if who in challenge.winners else "claimLoser"
        return [self._send(who, "challengepay", function, one)]

    def _withdraw(self) -> list[Call]:
        """Pull from the Treasury, at once or in several claims; also the creator's fees."""
        rng = self._rng
        candidates = list(self.granted[-12:])
        candidates += [
            (one, c.creator) for one, c in self.challenges.items() if c.status != "active"
        ]
        if not candidates:
            return []
        one, who = rng.choice(candidates)
        challenge = self.challenges.get(one)
        if challenge is not None and challenge.token:
            token = self.base.deployment.token
            return [self._send(who, "treasury", "claimERC20", one, token, rng.choice((1, 2)))]
        if rng.random() < 0.3:
            return [self._send(who, "treasury", "claimETHTo", one, self._user(), 1)]
        return [
            self._send(who, "treasury", "claimETH", one, rng.choice((1, 2, 10**16)))
            for _ in range(rng.choice((1, 1, 2, 3)))
        ]

    def _request(self) -> list[Call]:
        rng = self._rng
        if len(self.requests) > 10 and rng.random() < 0.7:
            return self._progress()
        return [
            self._send(
                self.base.deployment.worker_address,
                "aivm_inference",
                "requestInferenceV2",
                rng.choice(("devnet.model@1", "modèle \N{SNOWMAN}")),
                "0x" + rng.randbytes(32).hex(),
                "0x" + rng.randbytes(32).hex(),
                "0x" + "11" * 32,
                "0x" + "22" * 32,
                value=10**15,
            )
        ]

    def _progress(self) -> list[Call]:
        """The network's next step for some request; sometimes all of them in one block."""
        rng = self._rng
        open_ = [(one, r) for one, r in self.requests.items() if r.status != "finalized"]
        if not open_:
            return []
        request_id, request = rng.choice(open_)
        steps = {"requested": self._commit, "committed": self._reveal, "revealed": self._attest}
        calls = steps[request.status](request_id, request)
        if rng.random() < 0.3 and request.status == "requested":
            calls += self._reveal(request_id, request) + self._attest(request_id, request)
        elif rng.random() < 0.2 and request.status == "committed":
            calls = self._attest(request_id, request)[:1] + calls
        return calls

    def _commit(self, request_id: int, _: _Request) -> list[Call]:
        worker = wallets.network_worker().address
        packed = (
            request_id.to_bytes(32, "big") + bytes.fromhex(worker[2:])
            + request_id.to_bytes(32, "big") + keccak(_response(request_id))
        )  # fmt: skip
        commitment = "0x" + keccak(packed).hex()
        return [self._send(worker, "aivm_inference", "commitInference", request_id, commitment)]

    def _reveal(self, request_id: int, _: _Request) -> list[Call]:
        # By hand: the answer need not be UTF-8, and eth-abi takes a string for that.
        selector = abi.load("AIVMInferenceV2").functions["revealInference"].selector
        data = abi_encode(
            ("uint256", "bytes32", "bytes"),
            (request_id, request_id.to_bytes(32, "big"), _response(request_id)),
        )
        worker = wallets.network_worker().address
        return [(worker, self.base.deployment.aivm_inference, selector + data.hex(), 0)]

    def _attest(self, request_id: int, request: _Request) -> list[Call]:
        calls: list[Call] = []
        for number in range(2):
            signature = _signature(
                self.base.deployment.aivm_inference, request.task_id, request_id, number
            )
            calls.append(
                self._send(
                    self._user(),
                    "aivm_inference",
                    "submitPoIAttestation",
                    request.task_id,
                    "0x" + keccak(_response(request_id)).hex(),
                    "0x" + "44" * 32,
                    request_id + 5,
                    signature,
                )
            )
        return calls if self._rng.random() < 0.5 else calls[:1] if request.attested == 0 else calls

    def _bind(self) -> list[Call]:
        rng = self._rng
        worker = self.base.deployment.worker_address
        if self.bound and rng.random() < 0.35:
            one, subject = rng.choice(sorted(self.bound))
            return [self._send(worker, "task_registry", "clearBinding", one, subject)]
        if not self.requests:
            return self._request()
        request_id = rng.choice(sorted(self.requests))
        return [
            self._send(
                worker,
                "task_registry",
                "recordBinding",
                rng.randint(2, 8),
                self._user(),
                request_id,
                self.requests[request_id].task_id,
                "0x" + "11" * 32,
                "0x" + "22" * 32,
                rng.choice((_HASH, "0x" + "33" * 32)),
                rng.choice((1, 1, 2)),
            )
        ]

    def _mint(self) -> list[Call]:
        rng = self._rng
        if rng.random() < 0.3:
            return [
                self._send(
                    self._admin,
                    "achievement",
                    "adminMint",
                    self._user(),
                    rng.randint(2, 9),
                    rng.randint(0, 1),
                )
            ]
        found = self._any(lambda c: c.status == "finalized")
        if found is None:
            return []
        one, challenge = found
        who = rng.choice(sorted(challenge.stakes))
        function = (
            "mintVictory" if who in challenge.winners and rng.random() < 0.6 else "mintCompletion"
        )
        return [self._send(who, "achievement", function, one)]

    def _mint_strangely(self) -> list[Call]:
        """Types above 1, tokens beyond bigint, an AdminMinted without its AchievementMinted."""
        rng = self._rng
        minted = "AchievementMinted(uint256,uint256,address,uint8)"
        admin = "AdminMinted(uint256,address,uint256)"
        choice = rng.random()
        one = rng.randint(2, 9)
        if choice < 0.3:
            token = rng.choice((_INVENTED + rng.randint(0, 4), 2**70))
            return [
                self._emit(
                    "achievement", minted, [token, one, self._user()], evm.word(rng.randint(0, 5))
                )
            ]
        if choice < 0.6 and self.tokens:
            token = rng.choice(self.tokens)
            return [self._emit("achievement", admin, [token, self._user(), one])]
        token, who, kind = _INVENTED + 1000 + rng.randint(0, 3), self._user(), rng.choice((0, 1, 7))
        slot = int.from_bytes(
            keccak(token.to_bytes(32, "big") + _ACHIEVEMENTS_SLOT.to_bytes(32, "big")), "big"
        )
        address = self.base.deployment.achievement
        return [
            (who, address, evm.storing(slot, one), 0),
            (who, address, evm.storing(slot + 1, int(who, 16) | kind << 160 | self._now << 168), 0),
            self._emit("achievement", admin, [token, who, one]),
        ]

    def _describe(self) -> list[Call]:
        rng = self._rng
        owner = self.base.deployment.metadata_owner_address
        pay, one = self.base.deployment.challengepay, rng.randint(2, 9)
        function = rng.choice(("ownerSet", "ownerSet", "ownerForceSet", "ownerClear"))
        if function == "ownerClear":
            return [self._send(owner, "metadata_registry", function, pay, one)]
        if rng.random() < 0.2:
            # Text that is not text.
            data = abi_encode(("bytes",), (b"https://\xff\x00" + rng.randbytes(3),)).hex()
            signature = "MetadataSet(address,uint256,address,string)"
            return [self._emit("metadata_registry", signature, [pay, one, owner], data)]
        uri = f"https://example.org/api/challenges/meta/{one}?{rng.randint(0, 99)}"
        return [self._send(owner, "metadata_registry", function, pay, one, uri)]

    def _claim_before_v1(self) -> list[Call]:
        rng = self._rng
        name = rng.choice(LEGACY_EVENTS)
        return [
            self._emit(
                "legacy",
                f"{name}(uint256,address,uint256)",
                [rng.randint(1, 6), self._user()],
                evm.word(rng.choice((1, ETHER, 2**255))),
            )
            for _ in range(rng.choice((1, 1, 2)))
        ]

    def _claim_again(self) -> list[Call]:
        """A second claim of a type that the real contract grants once."""
        rng = self._rng
        name = rng.choice(("WinnerClaimed", "LoserClaimed", "RefundClaimed"))
        return [
            self._emit(
                "challengepay",
                f"{name}(uint256,address,uint256)",
                [rng.randint(2, 5), self._user()],
                evm.word(rng.choice((0, 1, ETHER))),
            )
        ]

    def _speak_strangely(self) -> list[Call]:
        """Logs that do not fit their signature, or whose numbers fit no column."""
        rng = self._rng
        user, one = self._user(), rng.randint(2, 5)
        joined = "Joined(uint256,address,uint256)"
        revealed = "InferenceRevealed(uint256,address,bytes32,string)"
        committed = "InferenceCommitted(uint256,address,bytes32)"
        attested = "PoIAttested(bytes32,address,uint64,bytes32,bytes32,uint64)"
        choices: list[tuple[str, str, list[int | str], str]] = [
            ("challengepay", joined, [one, user], "00" * 31),
            ("challengepay", joined, [one], "00" * 64),
            ("challengepay", joined, [2**200 + 1, user], evm.word(7)),
            ("challengepay", "Paused(uint256,bool)", [one], evm.word(2)),
            ("challengepay", "Finalized(uint256,uint8,uint8)", [one], evm.word(1) * 3),
            ("challengepay", "Unheard(uint256)", [3], ""),
            ("treasury", "ClaimedETH(uint256,address,uint256)", [3, 2**255], evm.word(1)),
            ("aivm_inference", revealed, [1, user], "ff" * 96),
            ("aivm_inference", committed, [2**255, user], evm.word(1)),
            ("aivm_inference", attested, [one - 1, user], evm.word(1) * 4),
        ]
        role, signature, indexed, data = rng.choice(choices)
        return [self._emit(role, signature, indexed, data)]

    ACTS: ClassVar[tuple[tuple[Callable[[Any], list[Call]], int], ...]] = (
        (_create, 10), (_join, 14), (_prove, 14), (_pause, 4), (_pause_all, 1), (_reconfigure, 3),
        (_finalize, 8), (_cancel, 2), (_claim, 14), (_withdraw, 8), (_request, 4), (_progress, 12),
        (_bind, 7), (_mint, 6), (_mint_strangely, 3), (_describe, 3), (_claim_before_v1, 4),
        (_claim_again, 3), (_speak_strangely, 2),
    )  # fmt: skip
    """What people do, and how often."""
    _WEIGHTS: ClassVar[list[int]] = [weight for _, weight in ACTS]


def _needs_its_neighbours(call: Call) -> bool:
    """An AdminMinted put into words by us, beside the storage that makes its token exist."""
    return _ADMIN_MINTED[2:] in call[2] or call[2].startswith("0x" + evm.STORE)


@cache
def _response(request_id: int) -> bytes:
    """What the worker answers; now and then something that PostgreSQL would not store as text."""
    if request_id % 5 == 4:
        return b'{"challengeId":"\xff\xfe\x00","verified":true}'
    return f'{{"challengeId":"{request_id}","verified":true}}'.encode()


@cache
def _signature(aivm: str, task_id: str, request_id: int, validator: int) -> str:
    message = {
        "taskId": bytes.fromhex(task_id[2:]),
        "resultHash": keccak(_response(request_id)),
        "transcriptHash": bytes.fromhex("44" * 32),
        "slot": request_id + 5,
    }
    return sign_attestation(wallets.validators()[validator], 504, aivm, message)
