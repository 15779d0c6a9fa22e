"""What logs say, and what has to be read from a contract beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from msgspec.structs import replace

from lightchallenge_dagster.chain.contracts import CallReverted, NotAContract
from lightchallenge_dagster.chain.reader import BadAnswer, RawLog
from lightchallenge_dagster.rules.events import (
    DecodedEvent,
    achievement_problem,
    decode,
    topic_of,
)
from lightchallenge_dagster.rules.reorg import Point
from lightchallenge_dagster.steps.indexing.policy import IndexPolicy
from lightchallenge_dagster.storage.blocks import IndexedLog

ChallengeSnapshot = Callable[[Sequence[tuple[int, str, Point]]], Sequence[Mapping[str, Any]]]
"""(challenge_id, creator, block) of each -> what getChallenge and contribOf say of each, then."""

AchievementSnapshot = Callable[[Sequence[tuple[int, Point]]], Sequence[tuple[int, str, int, int]]]
"""(token_id, block) of each -> achievementOf of each, then: challenge id, recipient, type, minting
time."""


_Asked = TypeVar("_Asked")
_Said = TypeVar("_Said")

_Refused = CallReverted | NotAContract
"""The contract would not tell, or is one of another version: no reason to stop for ever."""


def describe(
    policy: IndexPolicy,
    logs: Iterable[RawLog],
    timestamps: Mapping[int, int],
    snapshot: ChallengeSnapshot,
    achievement: AchievementSnapshot | None,
) -> list[IndexedLog]:
    """Decode logs, and read beside each what its event does not carry.

    Where the contract refuses to tell it, the log gets a problem in place of the snapshot; a
    verification asks again (``storage.untold``). Raises what the snapshot callables raise, and
    ``BadAnswer`` for a snapshot of another challenge: an old or lagging node answers zeros.
    """
    raw = list(logs)
    events = [decode(log, policy.roles[log.address]) for log in raw]
    beside = _challenges(raw, events, snapshot)
    lone = _lone_mints(raw, events)
    if achievement is None:
        for at in lone:
            problem = "its type was not read: no achievementOf to ask"
            events[at] = replace(events[at], problem=problem)
    elif lone:
        asked = [(int(raw[at].topics[1], 16), _block(raw[at])) for at in lone]
        for at, token in zip(lone, _told(achievement, asked), strict=True):
            if isinstance(token, _Refused):
                problem = f"its type was not read: {token}"
                events[at] = replace(events[at], problem=problem)
                continue
            beside[at] = {"a_type": str(token[2]), "block_number": raw[at].block_number}
            problem = achievement_problem(token[2])
            if problem is not None:
                events[at] = replace(events[at], problem=problem)
    return [
        IndexedLog(log, event, timestamps[log.block_number], beside.get(at))
        for at, (log, event) in enumerate(zip(raw, events, strict=True))
    ]


def _challenges(
    raw: list[RawLog], events: list[DecodedEvent], snapshot: ChallengeSnapshot
) -> dict[int, Mapping[str, Any]]:
    """The snapshot of each challenge created, by the place of its log.

    Where there is none, the event gets a problem.
    """
    created = {
        at: (event.challenge_id, event.account or "", _block(raw[at]))
        for at, event in enumerate(events)
        if event.snapshot == "challenge" and event.challenge_id is not None
    }
    if not created:
        return {}
    found: dict[int, Mapping[str, Any]] = {}
    answers = _told(snapshot, list(created.values()))
    for (at, (number, creator, block)), answer in zip(created.items(), answers, strict=True):
        if isinstance(answer, _Refused):
            problem = f"its challenge was not read: {answer}"
            events[at] = replace(events[at], problem=problem)
            continue
        said = (str(answer.get("id")), str(answer.get("creator")).lower())
        if said != (str(number), creator):
            raise BadAnswer(
                f"getChallenge({number}) at block {block.number} answered for challenge {said[0]}"
                f" of {said[1]}, though its ChallengeCreated by {creator} is there"
            )
        found[at] = answer
    return found


def _told(
    ask: Callable[[Sequence[_Asked]], Sequence[_Said]], asked: Sequence[_Asked]
) -> list[_Said | _Refused]:
    """What the contract says of each, or its refusal, which costs none of the others its own."""
    try:
        return list(ask(asked))
    except (CallReverted, NotAContract) as refused:
        if len(asked) == 1:
            return [refused]
    middle = len(asked) // 2
    return _told(ask, asked[:middle]) + _told(ask, asked[middle:])


def _lone_mints(raw: list[RawLog], events: list[DecodedEvent]) -> list[int]:
    """Places of the mints whose type no AchievementMinted of the same transaction names."""
    minted = topic_of("ChallengeAchievement.AchievementMinted")
    typed = {
        (log.tx_hash, log.topics[1])
        for log in raw
        if log.topics[0] == minted and len(log.topics) > 1
    }
    return [
        at
        for at, event in enumerate(events)
        if event.snapshot == "achievement" and (raw[at].tx_hash, raw[at].topics[1]) not in typed
    ]


def _block(log: RawLog) -> Point:
    return Point(log.block_number, log.block_hash)
