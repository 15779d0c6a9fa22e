"""Explain: why somebody passed, failed, won or lost, from what the database says. Only reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from lightchallenge_dagster.errors import PermanentError
from lightchallenge_dagster.rules.answer import Situation, answer
from lightchallenge_dagster.rules.challenge import ChallengeConfig, parse_sources
from lightchallenge_dagster.rules.evaluation import FinalWhen, Verdict, evaluate, is_final
from lightchallenge_dagster.rules.evaluation.outcome import counted
from lightchallenge_dagster.rules.instants import instant
from lightchallenge_dagster.rules.measured import measured, records_in_words
from lightchallenge_dagster.rules.placement import Placed, lost_tie, neighbourhood
from lightchallenge_dagster.rules.reward import Claim, Reward, Stand, reward
from lightchallenge_dagster.rules.rule_words import rule_in_words
from lightchallenge_dagster.steps.plan import configuration
from lightchallenge_dagster.storage import explanation, plans

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from lightchallenge_dagster.storage.explanation import (
        ChallengeRow,
        Order,
        Submission,
        WalletRow,
    )

_SETTLED = ("closed", "frozen")
_WAITING: dict[str, str] = {"ends_at": "the challenge ends", "proof_deadline": "the proof deadline"}


@dataclass(frozen=True, slots=True)
class ChallengeFacts:
    """A challenge, what it asks (``rule``, sentences), and where its tables contradict each other.

    ``sources`` are the providers its model accepts; empty for all.
    """

    row: ChallengeRow
    config: ChallengeConfig
    sources: tuple[str, ...]
    rule: list[str]
    contradictions: list[str]


@dataclass(frozen=True, slots=True)
class WalletLine:
    """A wallet in the summary of its challenge."""

    row: WalletRow
    reward: Reward


@dataclass(frozen=True, slots=True)
class ChallengeStory:
    """A challenge and everybody in it."""

    challenge: ChallengeFacts
    wallets: list[WalletLine]


@dataclass(frozen=True, slots=True)
class Part:
    """One submission of a wallet: ``use`` says what it counts for, ``shows`` what is in it.

    ``replaced``: a later one of the same provider counts instead.
    """

    submission: Submission
    use: str
    shows: str
    replaced: bool = False


@dataclass(frozen=True, slots=True)
class WalletStory:
    """All about one wallet in a challenge; ``row`` is None when it is not in it.

    ``finality`` is "yes" or until when the verdict is provisional, None without one. ``verdict``,
    ``ranking`` and ``parts`` are empty where there is nothing to say.
    """

    challenge: ChallengeFacts
    subject: str
    answer: str
    row: WalletRow | None = None
    parts: Sequence[Part] = ()
    verdict: Sequence[str] = ()
    finality: str | None = None
    ranking: Sequence[str] = ()
    orders: Sequence[Order] = ()
    claims: Sequence[Claim] = ()
    reward: Reward | None = None


def explain_challenge(engine: Engine, challenge_id: int) -> ChallengeStory:
    """A challenge and everybody in it; raises ``PermanentError`` when there is no such one."""
    with explanation.snapshot(engine) as connection:
        facts = _challenge(connection, challenge_id)
        claims = explanation.claims(connection, challenge_id)
        rows = explanation.wallets(connection, challenge_id)
    return ChallengeStory(
        facts,
        [WalletLine(row, _reward(facts, row, claims.get(row.subject, ()))) for row in rows],
    )


def explain_wallet(engine: Engine, challenge_id: int, subject: str) -> WalletStory:
    """One wallet (in any case) in a challenge.

    Raises ``PermanentError`` when there is no such challenge. A wallet that is not in it is a story
    of its own.
    """
    subject = subject.strip().lower()
    with explanation.snapshot(engine) as connection:
        facts = _challenge(connection, challenge_id)
        found = explanation.wallets(connection, challenge_id, subject)
        if not found:
            return WalletStory(facts, subject, _stranger(challenge_id, subject))
        row = found[0]
        claims = explanation.claims(connection, challenge_id, subject).get(subject, [])
        final = _final(facts, row)
        placed = _placed(connection, facts, row)
        return WalletStory(
            challenge=facts,
            subject=subject,
            answer=_answer(facts, row, placed, final is None),
            row=row,
            parts=_parts(connection, facts, row),
            verdict=measured(row.metadata),
            finality=None if row.passed is None else final or "yes",
            ranking=_ranking(facts, row, placed),
            orders=explanation.orders(connection, challenge_id, subject),
            claims=claims,
            reward=_reward(facts, row, claims),
        )


def _challenge(connection: Connection, challenge_id: int) -> ChallengeFacts:
    row = explanation.challenge(connection, challenge_id)
    known = plans.configurations(connection, [challenge_id])
    if row is None or not known:
        raise PermanentError(
            f"there is no challenge {challenge_id} in public.challenges; check the number, and "
            "whether its block is indexed (lightchallenge health)"
        )
    config = configuration(known[0])
    return ChallengeFacts(
        row=row,
        config=config,
        sources=parse_sources(known[0].sources),
        rule=rule_in_words(config),
        contradictions=_contradictions(row),
    )


def _contradictions(row: ChallengeRow) -> list[str]:
    if row.chain_status is None:
        return [
            "The chain's own record of this challenge is not indexed: stakes, bindings and winners "
            "on chain are unknown here."
        ]
    found: list[str] = []
    if row.indexed_outcome != row.chain_outcome:
        found.append(
            f"challenges.chain_outcome is {_or_null(row.chain_outcome)}, the indexed chain says "
            f"{_or_null(row.indexed_outcome)}: see the check status_follows_chain."
        )
    return found


def _or_null(value: object) -> str:
    return "null" if value is None else str(value)


def _stranger(challenge_id: int, subject: str) -> str:
    known = len(subject) == 42 and subject.startswith("0x")
    hint = "" if known else " It is no wallet address: those are 0x and 40 hexadecimal digits."
    return (
        f"Unknown wallet: {subject} is not in challenge {challenge_id}. It has no stake, never "
        f"took part and submitted no evidence.{hint}"
    )


def _reward(facts: ChallengeFacts, row: WalletRow, claims: Sequence[Claim]) -> Reward:
    return reward(
        Stand(
            status=facts.row.status,
            chain_outcome=facts.row.chain_outcome,
            indexed=facts.row.chain_status is not None,
            passed=row.passed,
            leads=bool(row.winner) if facts.config.competitive else None,
            chain_winner=row.chain_winner,
            stake_wei=int(row.stake_wei or 0),
            claims=claims,
        )
    )


def _answer(facts: ChallengeFacts, row: WalletRow, placed: Sequence[Placed], final: bool) -> str:
    sentence = answer(_situation(facts, row, final))
    lost = lost_tie(row.subject, placed)
    return f"{sentence} The tie decided: {lost}" if lost else sentence


def _situation(facts: ChallengeFacts, row: WalletRow, final: bool) -> Situation:
    challenge = facts.row
    ranking_decides = facts.config.competitive or challenge.ranking_state in _SETTLED
    return Situation(
        competitive=ranking_decides,
        evidence_rows=row.evidence_rows,
        own_pass=row.own_pass,
        has_score=row.score is not None,
        reasons=row.reasons or (),
        stake=None if challenge.chain_status is None else bool(row.stake_wei),
        final=final,
        ranking_state=challenge.ranking_state,
        ranking_closes_at=challenge.ranking_closes_at,
        submitted_at=row.submitted_at,
        rank=row.rank,
        ranked=challenge.ranked,
        top_n=row.top_n or facts.config.top_n,
        winner=bool(row.winner),
    )


def _final(facts: ChallengeFacts, row: WalletRow) -> str | None:
    """Until when the verdict is provisional, as a sentence; None when it is final."""
    config, now = facts.config, facts.row.indexed_at
    if facts.row.ranking_state in _SETTLED:
        return None
    if row.final_when is None:
        return "Written by an earlier worker; when it becomes final is not known."
    verdict = Verdict(
        passed=bool(row.own_pass),
        score=row.score,
        reasons=(),
        evaluator="unknown",
        evidence_hash=row.evidence_hash or "",
        metadata={},
        final_when=cast("FinalWhen", row.final_when),
    )
    if now is None:
        return "Nothing of the chain is indexed, so whether this is final is not known."
    if is_final(verdict, config, now):
        return None
    until = config.ends_at if row.final_when == "ends_at" else config.proof_deadline
    when = f", {instant(until)}" if until else ", which is not known"
    return f"Provisional until {_WAITING[row.final_when]}{when}: more evidence may change it."


def _parts(connection: Connection, facts: ChallengeFacts, row: WalletRow) -> list[Part]:
    """Every submission, newest first; the newest of each provider judged anew for what it shows."""
    listed = explanation.submissions(connection, facts.row.challenge_id, row.subject)
    latest: dict[str, int] = {}
    for each in listed:
        latest.setdefault(each.provider, each.id)
    evidence = explanation.evidence(connection, latest.values())
    metadata = _object(row.metadata)
    parts: list[Part] = []
    for each in listed:
        if latest[each.provider] != each.id:
            held = counted(each.records or 0, "record")
            parts.append(Part(each, "replaced by a later one", held, replaced=True))
            continue
        verdict = evaluate([evidence[each.id]], facts.config, accepted_sources=facts.sources)
        parts.append(Part(each, _use(each, metadata), _shows(verdict)))
    return parts


def _use(submission: Submission, metadata: dict[str, Any]) -> str:
    """What a provider's newest submission did for the stored verdict."""
    judged = _object(_object(metadata.get("providers")).get(submission.provider))
    if not judged:
        return "not in the verdict"
    if judged.get("evidence_hash") != submission.evidence_hash:
        return "newer than the verdict"
    result = "passes" if judged.get("pass") is True else "fails"
    decides = metadata.get("provider") == submission.provider
    return f"{result}, and decides the verdict" if decides else f"{result}; another one is better"


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _shows(verdict: Verdict) -> str:
    score = "no score" if verdict.score is None else f"score {verdict.score:,f}"
    reasons = "" if verdict.passed else f". {' '.join(verdict.reasons)}"
    return f"{records_in_words(verdict.metadata)}; {score}{reasons}"


def _placed(connection: Connection, facts: ChallengeFacts, row: WalletRow) -> list[Placed]:
    """The wallet in its ranking, with its neighbours and the last winner; empty if not ranked."""
    if row.rank is None:
        return []
    return explanation.neighbours(connection, facts.row.challenge_id, row.rank)


def _ranking(facts: ChallengeFacts, row: WalletRow, placed: Sequence[Placed]) -> list[str]:
    challenge = facts.row
    if not facts.config.competitive and challenge.ranking_state is None:
        return []
    held_back = challenge.ranking_problem
    return [
        _ranking_state(challenge),
        *([f"It is held back: {held_back}."] if held_back else []),
        *neighbourhood(row.subject, placed),
    ]


def _ranking_state(challenge: ChallengeRow) -> str:
    counts = f"{challenge.ranked or 0:,} ranked, {challenge.winners or 0:,} win"
    closes = challenge.ranking_closes_at
    if challenge.ranking_state == "frozen":
        return f"The ranking is frozen, because winners are being paid from it: {counts}."
    if challenge.ranking_state == "closed":
        return f"The ranking is closed and will not change: {counts}."
    when = f" until {instant(closes)}" if closes else ", and when it closes is not known"
    if challenge.ranking_state is None:
        return f"Nothing is ranked yet; the ranking is open{when}."
    return f"The ranking is provisional{when}: {counts} as it stands."
