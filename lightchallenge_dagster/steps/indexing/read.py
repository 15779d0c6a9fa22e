"""Read a range from a node so that what comes back is one consistent piece of one chain."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from lightchallenge_dagster.chain.reader import BadAnswer, Block, ChainReader, RawLog
from lightchallenge_dagster.rules.events import (
    bloom_of,
    decode,
    is_registered,
    may_contain,
    topic_of,
    topics_for,
)
from lightchallenge_dagster.rules.reorg import Point, unlinked
from lightchallenge_dagster.steps.indexing.policy import IndexPolicy
from lightchallenge_dagster.storage.blocks import IndexedLog

ChallengeSnapshot = Callable[[Sequence[tuple[int, str, int]]], Sequence[Mapping[str, Any]]]
"""(challenge_id, creator, block_number) of each -> what getChallenge and contribOf say of each."""

AchievementSnapshot = Callable[[Sequence[tuple[int, int]]], Sequence[tuple[int, str, int, int]]]
"""(token_id, block_number) of each -> achievementOf of each: challenge id, recipient, type, minting
time."""


class ChainMoved(BadAnswer):
    """The chain changed while it was read: what was read is thrown away, read again."""


@dataclass(frozen=True, slots=True)
class ReadRange:
    """Blocks ``first`` to ``last`` of one chain: kept headers in order, and all their logs."""

    first: int
    last: int
    headers: list[Block]
    logs: list[RawLog]

    @property
    def end(self) -> Block:
        return self.headers[-1]


def read_range(
    reader: ChainReader,
    policy: IndexPolicy,
    first: int,
    last: int,
    *,
    parent: Point | None,
    dense_from: int,
    addresses: Sequence[str] | None = None,
) -> ReadRange:
    """Headers and logs of the blocks ``first`` to ``last``, of ``addresses`` (all by default).

    Headers are read for the ends, for every block from ``dense_from`` on and for blocks with
    logs. ``parent`` is the block before ``first``, when it is known. Raises ``ChainMoved`` when
    the pieces do not fit together, ``BadAnswer`` when logs are missing that a header's bloom
    speaks of, ``RangeRefused`` when the node wants a smaller range.
    """
    roles = {
        address: role
        for address, role in policy.roles.items()
        if addresses is None or address in addresses
    }
    headers = reader.blocks(sorted({first, last} | set(range(max(first, dense_from), last + 1))))
    if parent is not None and headers[first].parent_hash != parent.hash:
        raise ChainMoved(f"block {first} does not follow block {parent.number} that we hold")
    logs = [
        log
        for log in reader.logs(list(roles), topics_for(roles.values()), first, last)
        if is_registered(roles[log.address], log.topics[0])
    ]
    bare = sorted({log.block_number for log in logs} - headers.keys())
    headers |= reader.blocks(bare)
    ordered = [headers[number] for number in sorted(headers)]
    broken = unlinked(ordered)
    if broken is not None:
        raise ChainMoved(f"block {broken} does not follow block {broken - 1}")
    for log in logs:
        if log.block_hash != headers[log.block_number].hash:
            raise ChainMoved(
                f"a log of block {log.block_number} names the block {log.block_hash},"
                f" the header says {headers[log.block_number].hash}"
            )
    _trust_silence(reader, roles, ordered, logs)
    return ReadRange(first, last, ordered, logs)


def confirm(reader: ChainReader, read: ReadRange) -> None:
    """Raise ``ChainMoved`` unless the range's last block is still the chain's."""
    if reader.block(read.last).hash != read.end.hash:
        raise ChainMoved(f"block {read.last} was replaced while the range was read")


def describe(
    policy: IndexPolicy,
    logs: Iterable[RawLog],
    timestamps: Mapping[int, int],
    snapshot: ChallengeSnapshot,
    achievement: AchievementSnapshot | None,
) -> list[IndexedLog]:
    """Decode logs, and read beside each what its event does not carry.

    Raises what the snapshot callables raise, and ``BadAnswer`` for a snapshot of another
    challenge: an old or lagging node answers zeros.
    """
    raw = list(logs)
    events = [decode(log, policy.roles[log.address]) for log in raw]
    beside: list[Mapping[str, Any] | None] = [None] * len(raw)
    created = {
        at: (event.challenge_id, event.account or "", raw[at].block_number)
        for at, event in enumerate(events)
        if event.snapshot == "challenge" and event.challenge_id is not None
    }
    if created:
        answers = snapshot(list(created.values()))
        for (at, (number, _, block)), answer in zip(created.items(), answers, strict=True):
            if str(answer.get("id")) != str(number):
                raise BadAnswer(
                    f"getChallenge({number}) at block {block} answered for challenge"
                    f" {answer.get('id')}, though its ChallengeCreated is there"
                )
            beside[at] = answer
    minted = topic_of("ChallengeAchievement.AchievementMinted")
    typed = {
        (log.tx_hash, log.topics[1])
        for log in raw
        if log.topics[0] == minted and len(log.topics) > 1
    }
    given = {
        at: (int(raw[at].topics[1], 16), raw[at].block_number)
        for at, event in enumerate(events)
        if event.snapshot == "achievement" and (raw[at].tx_hash, raw[at].topics[1]) not in typed
    }
    if given and achievement is None:
        for at in given:
            problem = "its type was not read: no achievementOf to ask"
            events[at] = replace(events[at], problem=problem)
    elif given and achievement is not None:
        tokens = achievement(list(given.values()))
        for (at, (_, block)), token in zip(given.items(), tokens, strict=True):
            beside[at] = {"a_type": str(token[2]), "block_number": block}
    return [
        IndexedLog(log, event, timestamps[log.block_number], extra)
        for log, event, extra in zip(raw, events, beside, strict=True)
    ]


def _trust_silence(
    reader: ChainReader, roles: Mapping[str, str], headers: list[Block], logs: list[RawLog]
) -> None:
    """Believe that a block has no logs of ours only if its bloom allows it, or all its logs show.

    A bloom can speak of logs that are not there, so a suspicious block is read whole, by hash:
    when exactly its logs make the header's bloom, nothing is missing from them.
    """
    with_logs = {log.block_number for log in logs}
    topics = {address: topics_for([role]) for address, role in roles.items()}
    for header in headers:
        if header.number in with_logs or not any(
            may_contain(header.logs_bloom, address, wanted) for address, wanted in topics.items()
        ):
            continue
        whole = reader.block_logs(header)
        if any(log.block_hash != header.hash for log in whole):
            raise BadAnswer(f"asked for the logs of {header.hash}, the node sent another block's")
        if bloom_of(whole) != int(header.logs_bloom, 16):
            raise BadAnswer(f"the node's logs of block {header.number} do not make its bloom")
        if any(log.topics and log.topics[0] in topics.get(log.address, ()) for log in whole):
            raise BadAnswer(f"eth_getLogs left out logs of block {header.number}")
