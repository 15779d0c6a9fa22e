"""A seeded chain of mixed LightChallenge events, as the bytes a node would send.

Challenges live their lives interleaved: created, joined, requested, attested, bound, proved,
finalized, claimed, minted; some are canceled and refunded, a few things are rare. Every event in
the registry comes up. Hashes, parents, timestamps, blooms and log numbers fit together.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from eth_utils.crypto import keccak

from lightchallenge_dagster.rules.events import CONTRACTS, SPECS

ETH = 10**18
LEGACY = "legacy_challengepay_1"
FIRST_BLOCK = 4_500_000
FIRST_TIME = 1_760_000_000
BLOCK_S = 2
VERIFIER = "0x" + "7e" * 20
ZERO = "0x" + "00" * 20
_AT_ONCE = 30

Value = int | str | bool


def address_of(name: str) -> str:
    """A made-up address with a name."""
    return "0x" + hashlib.sha256(name.encode()).hexdigest()[:40]


ADDRESSES: Mapping[str, str] = {
    role: address_of(role)
    for role in (
        "challengepay",
        "treasury",
        "aivm_inference",
        "task_registry",
        "achievement",
        "metadata_registry",
        LEGACY,
    )
}
"""Role in the settings -> address, as IndexPolicy takes them."""


@dataclass(frozen=True, slots=True)
class Log:
    """What a contract says: its role, topics and data (0x-hex)."""

    role: str
    topics: tuple[str, ...]
    data: str


Transaction = list[Log]


# ── Encoding: event signature and values -> topics and data ─────────────────────────────────


@dataclass(frozen=True, slots=True)
class Shape:
    """An event's topic 0, its arguments' names and types, and which are indexed."""

    topic0: str
    names: tuple[str, ...]
    types: tuple[str, ...]
    indexed: tuple[bool, ...]


@cache
def shapes() -> dict[tuple[str, str], Shape]:
    """Every event of the registry by role and name."""
    found: dict[tuple[str, str], Shape] = {}
    for spec in SPECS:
        name, inside = re.fullmatch(r"(\w+)\((.*)\)", spec.signature).groups()  # type: ignore[union-attr]
        words = [part.split() for part in inside.split(",")]
        types = tuple(word[0] for word in words)
        topic0 = "0x" + keccak(text=f"{name}({','.join(types)})").hex()
        names, indexed = (word[-1] for word in words), ("indexed" in word for word in words)
        found[spec.role, name] = Shape(topic0, tuple(names), types, tuple(indexed))
    return found


def event(role: str, name: str, *values: Value) -> Log:
    """The log of an event of the registry with these values, in the signature's order."""
    shape = shapes()["legacy_challengepay" if role == LEGACY else role, name]
    topics, tails = [shape.topic0], ""
    heads: list[str] = []
    plain = sum(not indexed for indexed in shape.indexed)
    for kind, indexed, value in zip(shape.types, shape.indexed, values, strict=True):
        if indexed:
            topics.append("0x" + _word(kind, value))
        elif kind == "string":
            raw = str(value).encode().hex()
            heads.append(f"{32 * plain + len(tails) // 2:064x}")
            tails += f"{len(raw) // 2:064x}" + raw.ljust(-(-len(raw) // 64) * 64, "0")
        else:
            heads.append(_word(kind, value))
    return Log(role, tuple(topics), "0x" + "".join(heads) + tails)


def _word(kind: str, value: Value) -> str:
    if kind in {"address", "bytes32"}:
        return str(value)[2:].rjust(64, "0")
    return f"{int(value):064x}"


# ── Stories ─────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class Storyteller:
    """Makes up what happens to one challenge after the other, transaction by transaction."""

    random: random.Random
    wallets: Sequence[str]
    next_challenge: int = 2
    next_request: int = 1
    next_token: int = 1
    challenges: dict[int, list[Value]] = field(default_factory=dict[int, "list[Value]"])
    """Challenge -> getChallenge's 21 values at its creation."""
    tokens: dict[int, tuple[Value, ...]] = field(default_factory=dict[int, "tuple[Value, ...]"])
    """Token -> achievementOf."""

    def hash(self) -> str:
        return f"0x{self.random.getrandbits(256):064x}"

    def story(self) -> Iterator[Transaction]:
        """The next challenge's transactions, in order."""
        draw = self.random
        number = self.next_challenge
        self.next_challenge += 1
        stakers = draw.sample(self.wallets, draw.randint(7, 13))
        creator, stake = stakers[0], draw.randint(1, 50) * ETH // 10
        start = FIRST_TIME + number * 600
        values: list[Value] = [
            number, 0, 0, 0, creator, 0, ZERO, stake, start, start, 86_400, 0, stake, 1, VERIFIER,
            start + 2 * 86_400, 0, 0, False, False, False,
        ]  # fmt: skip
        self.challenges[number] = values
        outside = self.hash()
        yield [
            event("challengepay", "ChallengeCreated", number, creator, 0, 0, ZERO, start, outside)
        ]
        for staker in stakers[1:]:
            amount = draw.randint(1, 50) * ETH // 10
            yield [event("challengepay", "Joined", number, staker, amount)]
        yield from self._rare(number)
        if number % 11 == 6:
            yield from self._canceled(number, stakers)
            return
        winners = stakers[: draw.randint(2, 4)]
        yield from self._inferred(number, winners)
        for winner in winners:
            yield [
                event("challengepay", "WinnerMarked", number, winner, ETH, 3 * ETH, 3),
                event("challengepay", "ParticipantProofSubmitted", number, winner, VERIFIER, True),
            ]
        if number % 4 == 2:
            loser = stakers[-1]
            yield [
                event("challengepay", "ParticipantProofSubmitted", number, loser, VERIFIER, False)
            ]
        yield [
            event("challengepay", "SnapshotSet", number, True),
            event("challengepay", "FeesBooked", number, 3 * ETH, 2 * ETH, ETH),
            event("challengepay", "Finalized", number, 1, 1),
        ]
        yield from self._claimed(number, winners, stakers)
        yield from self._minted(number, winners, stakers)

    def _rare(self, number: int) -> Iterator[Transaction]:
        if number % 8 == 2:
            yield [event("challengepay", "Paused", number, True)]
            yield [event("challengepay", "Paused", number, False)]
        if number % 16 == 2:
            late = FIRST_TIME + number * 600 + 3 * 86_400
            yield [event("challengepay", "VerificationConfigUpdated", number, VERIFIER, late)]
        if number % 64 == 2:
            yield [event("challengepay", "DispatcherSet", self.wallets[0], True)]
            yield [event("challengepay", "GlobalPaused", True)]
            yield [event("challengepay", "GlobalPaused", False)]
        if number % 16 == 2:
            for name in (
                "PrincipalClaimed", "CashbackClaimed", "ValidatorClaimed", "ValidatorRejectClaimed",
                "RejectCreatorClaimed", "RejectContributionClaimed",
            ):  # fmt: skip
                who = self.random.choice(self.wallets)
                yield [event(LEGACY, name, number, who, ETH)]

    def _canceled(self, number: int, stakers: Sequence[str]) -> Iterator[Transaction]:
        yield [event("challengepay", "Canceled", number)]
        refunds = [
            (
                event("challengepay", "RefundClaimed", number, staker, ETH),
                event("treasury", "ClaimedETH", number, staker, ETH),
            )
            for staker in stakers
        ]
        if number % 2:
            pushed = [log for pair in refunds for log in pair]
            yield [*pushed, event("challengepay", "AutoRefunded", number, len(stakers))]
        else:
            for granted, pulled in refunds:
                yield [granted]
                yield [pulled]

    def _inferred(self, number: int, winners: Sequence[str]) -> Iterator[Transaction]:
        request, self.next_request = self.next_request, self.next_request + 1
        task, digest, params = self.hash(), self.hash(), self.hash()
        result, worker = self.hash(), self.wallets[1]
        yield [
            event(
                "aivm_inference", "InferenceRequestedV2", request, self.wallets[0], task,
                "steps.threshold@1", self.hash(), self.hash(), digest, params,
            )
        ]  # fmt: skip
        yield [event("aivm_inference", "InferenceCommitted", request, worker, self.hash())]
        answer = f'{{"challengeId":"{number}","verified":true}}'
        yield [event("aivm_inference", "InferenceRevealed", request, worker, result, answer)]
        attested = [
            event(
                "aivm_inference", "PoIAttested", task, self.wallets[2 + count], count + 1, result,
                self.hash(), 1000 + number,
            )
            for count in range(2)
        ]  # fmt: skip
        done = event(
            "aivm_inference", "InferenceFinalized", request, task, worker, result, 95 * 10**13,
            5 * 10**13,
        )  # fmt: skip
        yield [attested[0]]
        yield [attested[1], done]
        if number % 8 == 2:
            wrong = self.wallets[-1]
            yield [self._binding(number, wrong, request, task, digest, params)]
            yield [event("task_registry", "BindingCleared", number, wrong)]
        for winner in winners:
            yield [self._binding(number, winner, request, task, digest, params)]

    def _binding(
        self, number: int, subject: str, request: int, task: str, digest: str, params: str
    ) -> Log:
        return event(
            "task_registry", "BindingRecorded", number, subject, request, task, digest, params,
            self.hash(), 1,
        )  # fmt: skip

    def _claimed(
        self, number: int, winners: Sequence[str], stakers: Sequence[str]
    ) -> Iterator[Transaction]:
        losers = [staker for staker in stakers if staker not in winners]
        claims = [("WinnerClaimed", winner, 2 * ETH) for winner in winners]
        claims += [("LoserClaimed", loser, ETH // 10) for loser in losers]
        if number % 2:
            pushed: Transaction = []
            for name, who, amount in claims:
                pushed.append(event("challengepay", name, number, who, amount))
                pushed.append(event("treasury", "ClaimedETH", number, who, amount))
            counted = event("challengepay", "AutoDistributed", number, len(winners), len(losers))
            yield [*pushed, counted]
        else:
            for name, who, amount in claims:
                yield [event("challengepay", name, number, who, amount)]
                yield [event("treasury", "ClaimedETH", number, who, amount)]
        for fee_taker in (self.wallets[5], stakers[0]):
            yield [event("treasury", "ClaimedETH", number, fee_taker, ETH // 5)]
        if number % 32 == 2:
            token = address_of("token")
            yield [event("treasury", "ClaimedERC20", number, token, stakers[1], ETH)]

    def _minted(
        self, number: int, winners: Sequence[str], stakers: Sequence[str]
    ) -> Iterator[Transaction]:
        for kind, takers in ((0, stakers[::2]), (1, winners)):
            for taker in takers:
                token, self.next_token = self.next_token, self.next_token + 1
                yield [event("achievement", "AchievementMinted", token, number, taker, kind)]
        if number % 16 == 2:
            token, self.next_token = self.next_token, self.next_token + 1
            self.tokens[token] = (number, stakers[1], 1, FIRST_TIME)
            yield [event("achievement", "AdminMinted", token, stakers[1], number)]
        pay, owner = ADDRESSES["challengepay"], self.wallets[6]
        uri = f"https://uat.lightchallenge.app/api/challenges/meta/{number}"
        yield [event("metadata_registry", "MetadataSet", pay, number, owner, uri)]
        if number % 32 == 2:
            yield [event("metadata_registry", "MetadataForceSet", pay, number, owner, uri, uri)]
            yield [event("metadata_registry", "MetadataCleared", pay, number, owner)]


def transactions(teller: Storyteller, events: int) -> Iterator[Transaction]:
    """Many stories interleaved, until ``events`` logs were told (the last one may go over)."""
    draw, told = teller.random, 0
    stories = [teller.story() for _ in range(_AT_ONCE)]
    while told < events:
        at = draw.randrange(len(stories))
        transaction = next(stories[at], None)
        if transaction is None:
            stories[at] = teller.story()
            continue
        told += len(transaction)
        yield transaction


# ── The chain ───────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class Chain:
    """Blocks ``first`` to ``head`` as JSON: ``headers`` and ``logs`` by block number."""

    first: int
    head: int
    events: int
    headers: dict[int, bytes]
    logs: dict[int, bytes]
    """Block -> its logs as JSON objects with commas between; blocks without logs are missing."""
    numbers: dict[str, int]
    """Block hash -> number."""
    teller: Storyteller


def chain(seed: int, events: int, per_block: float, *, empty: float = 0.2, tail: int = 12) -> Chain:
    """A chain of about ``events`` logs, ``per_block`` in a block that has any.

    ``empty`` is the share of blocks without logs, ``tail`` the empty blocks at the end.
    """
    draw = random.Random(f"{seed}:{events}:{per_block}:{empty}")
    teller = Storyteller(draw, [address_of(f"wallet {seed} {number}") for number in range(5000)])
    told = transactions(teller, events)
    made = Chain(FIRST_BLOCK, FIRST_BLOCK - 1, 0, {}, {}, {}, teller)
    parent = "0x" + "11" * 32
    waiting = next(told, None)
    parent = _append(made, [], parent)
    while waiting is not None:
        block: list[Transaction] = []
        if draw.random() >= empty:
            wanted = draw.uniform(1, 2 * per_block - 1)
            while waiting is not None and sum(map(len, block)) < wanted:
                block.append(waiting)
                waiting = next(told, None)
        parent = _append(made, block, parent)
    for _ in range(tail):
        parent = _append(made, [], parent)
    return made


def _append(made: Chain, block: Sequence[Transaction], parent: str) -> str:
    number = made.head + 1
    own = "0x" + hashlib.sha256(f"{parent}{number}".encode()).hexdigest()
    time = FIRST_TIME + (number - made.first) * BLOCK_S
    hashes: list[str] = []
    logs: list[str] = []
    bloom = 0
    for index, transaction in enumerate(block):
        tx = "0x" + hashlib.sha256(f"{own}{index}".encode()).hexdigest()
        hashes.append(f'"{tx}"')
        for log in transaction:
            address = ADDRESSES[log.role]
            topics = ",".join(f'"{topic}"' for topic in log.topics)
            logs.append(
                f'{{"address":"{address}","topics":[{topics}],"data":"{log.data}",'
                f'"blockHash":"{own}","blockNumber":"{number:#x}","blockTimestamp":"{time:#x}",'
                f'"transactionHash":"{tx}","transactionIndex":"{index:#x}",'
                f'"logIndex":"{len(logs):#x}","removed":false}}'
            )
            bloom |= _bloom_bits(address)
            for topic in log.topics:
                bloom |= _bloom_bits(topic)
    root = "0x" + "56" * 32
    made.headers[number] = (
        f'{{"number":"{number:#x}","hash":"{own}","parentHash":"{parent}","mixHash":"{root}",'
        f'"nonce":"0x0000000000000000","sha3Uncles":"{root}","logsBloom":"0x{bloom:0512x}",'
        f'"transactionsRoot":"{root}","stateRoot":"{root}","receiptsRoot":"{root}",'
        f'"miner":"{ZERO}","difficulty":"0x0","extraData":"0x","gasLimit":"0x1c9c380",'
        f'"gasUsed":"{21_000 * len(hashes):#x}","timestamp":"{time:#x}","uncles":[],'
        f'"baseFeePerGas":"0x3b9aca00","size":"0x2dc","transactions":[{",".join(hashes)}]}}'
    ).encode()
    if logs:
        made.logs[number] = ",".join(logs).encode()
    made.numbers[own] = number
    made.events += len(logs)
    made.head = number
    return own


@cache
def _bloom_bits(item: str) -> int:
    digest = keccak(bytes.fromhex(item[2:]))
    bits = 0
    for at in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[at : at + 2], "big") & 2047)
    return bits


def missing_events(made: Chain) -> set[str]:
    """Events of the registry that do not come up in the chain."""
    everything = b"".join(made.logs.values()).decode()
    return {
        f"{CONTRACTS[role]}.{name}"
        for (role, name), shape in shapes().items()
        if shape.topic0 not in everything
    }
