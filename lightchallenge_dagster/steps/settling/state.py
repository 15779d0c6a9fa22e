"""What the tables say about settling, and what follows: whom to unbind, to bind and to prove."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from lightchallenge_dagster.chain import abi
from lightchallenge_dagster.rules.gates import proof_window
from lightchallenge_dagster.rules.prompt import SCHEMA_VERSION
from lightchallenge_dagster.rules.proof import expected_response_hash
from lightchallenge_dagster.storage import outbox as stored
from lightchallenge_dagster.storage import rankings, settlement, verdicts
from lightchallenge_dagster.storage.outbox import Attempt
from lightchallenge_dagster.storage.rankings import Winner
from lightchallenge_dagster.storage.settlement import Bound, Request, Settling

if TYPE_CHECKING:
    from sqlalchemy import Connection

Action = Literal["clear", "bind", "proof"]

#: So close to the proof deadline, in seconds, winners no longer wait for a loser to be unbound.
URGENT_S = 600

#: A verifier that accepts a proof when it is asked, and not when it is paid for, is asked no more
#: often than this: each time costs gas.
TRIES = 10


@dataclass(frozen=True, slots=True)
class Work:
    """One wallet of one challenge, and what is to be sent for it."""

    challenge_id: int
    subject: str
    action: Action


@dataclass(frozen=True, slots=True)
class State:
    """Everything the tables say about settling, and the decision from it."""

    chain_now_ts: int
    settling: Sequence[Settling]
    winners: Mapping[int, Sequence[Winner]]
    bindings: Mapping[tuple[int, str], Bound]
    chain_winners: set[tuple[int, str]]
    undecided: set[tuple[int, str]]
    outdated: set[tuple[int, str]]
    attempts: Mapping[int, Sequence[Attempt]]
    indexed_to: int

    @classmethod
    def read(
        cls,
        connection: Connection,
        chain_now_ts: int,
        *,
        lock: bool = False,
        only: frozenset[int] | None = None,
    ) -> State:
        """Read the tables; ``lock`` holds the verdicts until the transaction ends.

        ``only``: as if there were no other challenges.
        """
        settling = [
            one
            for one in settlement.settling(connection, chain_now_ts)
            if only is None or one.challenge_id in only
        ]
        ids = [one.challenge_id for one in settling]
        winners: dict[int, list[Winner]] = {}
        now = datetime.fromtimestamp(chain_now_ts, UTC)
        if ids:
            for one in rankings.settled_winners(connection, ids, now, lock=lock):
                winners.setdefault(one.challenge_id, []).append(one)
        chain_winners = settlement.chain_winners(connection, ids)
        by_verdict = {
            winner.challenge_id
            for of_challenge in winners.values()
            for winner in of_challenge
            if winner.rank is None and (winner.challenge_id, winner.subject) not in chain_winners
        }
        outdated = (
            verdicts.pending(connection, challenge_ids=sorted(by_verdict)) if by_verdict else []
        )
        attempts: dict[int, list[Attempt]] = {}
        for attempt in stored.attempts(connection, ids, ["bind", "clear", "proof"]):
            attempts.setdefault(attempt.challenge_id or 0, []).append(attempt)
        return cls(
            chain_now_ts=chain_now_ts,
            settling=settling,
            winners=winners,
            bindings=settlement.bindings(connection, ids),
            chain_winners=chain_winners,
            undecided=settlement.passing(connection, ids, undecided=True),
            outdated={(one.challenge_id, one.subject) for one in outdated},
            attempts=attempts,
            indexed_to=settlement.indexed_to(connection),
        )

    def work(self) -> list[Work]:
        """What is to be sent now. Bindings to clear come first: each is an order to pay a loser."""
        found = [work for one in self.settling for work in self._work_of(one)]
        return [work for work in found if work.action == "clear"] + [
            work for work in found if work.action != "clear"
        ]

    def due(self, action: Action) -> dict[int, list[str]]:
        """The subjects that ``action`` is to be sent for now, by challenge, in their order."""
        found: dict[int, list[str]] = {}
        for work in self.work():
            if work.action == action:
                found.setdefault(work.challenge_id, []).append(work.subject)
        return found

    def _work_of(self, one: Settling) -> Iterator[Work]:
        challenge_id, request = one.challenge_id, one.request
        winners = [winner.subject for winner in self.winners.get(challenge_id, ())]
        yield from self._clears(challenge_id, winners)
        if request is None or one.paused or one.proof_deadline_ts < self.chain_now_ts:
            return
        answered = answers(request, challenge_id)
        if request.status == "finalized" and not answered:
            return
        provable = answered and self._proofs_open(one)
        for subject in winners:
            if (challenge_id, subject) in self.chain_winners:
                continue
            bound, at_rest = self.binding(challenge_id, subject)
            if not at_rest:
                continue
            if bound != wanted(request):
                if (challenge_id, subject) in self.outdated:
                    continue  # it passed by an older rule: no order before it was judged again
                base = f"bind:{challenge_id}:{subject}:{request.request_id}"
                if not self._waiting(challenge_id, base):
                    yield Work(challenge_id, subject, "bind")
            elif provable and self.provable(challenge_id, subject):
                yield Work(challenge_id, subject, "proof")

    def _clears(self, challenge_id: int, winners: Sequence[str]) -> Iterator[Work]:
        for subject in self._bound_subjects(challenge_id):
            if subject in winners or (challenge_id, subject) in self.chain_winners:
                continue
            if (challenge_id, subject) in self.undecided:
                continue  # maybe a winner: left as it is until it was judged by a rule that is one
            bound, at_rest = self.binding(challenge_id, subject)
            if at_rest and bound is not None:
                base = f"clear:{challenge_id}:{subject}:{bound.request_id}"
                if not self._waiting(challenge_id, base):
                    yield Work(challenge_id, subject, "clear")

    def _proofs_open(self, one: Settling) -> bool:
        """Whether proofs can go out: the window is open, and no loser is being unbound first."""
        if not proof_window(one.start_ts, one.proof_deadline_ts, self.chain_now_ts).open:
            return False
        clearing = any(
            attempt.intent.kind == "clear" and attempt.status in ("signed", "broadcast")
            for attempt in self.attempts.get(one.challenge_id, ())
        )
        return not clearing or one.proof_deadline_ts - self.chain_now_ts < URGENT_S

    def ranked(self) -> set[int]:
        """Challenges whose winners a ranking names; others may have one left from another mode."""
        return {
            challenge_id
            for challenge_id, winners in self.winners.items()
            if any(winner.rank is not None for winner in winners)
        }

    def binding(self, challenge_id: int, subject: str) -> tuple[Bound | None, bool]:
        """The subject's binding on chain as far as is known, and whether it is at rest.

        A mined intent that the indexer has not reached yet knows better than the table.
        """
        latest = next(
            (
                attempt
                for attempt in reversed(self.attempts.get(challenge_id, ()))
                if attempt.intent.kind in ("bind", "clear")
                and attempt.subject == subject
                and attempt.unseen(self.indexed_to)
            ),
            None,
        )
        if latest is None:
            return self.bindings.get((challenge_id, subject)), True
        if latest.status in ("signed", "broadcast") or latest.failing:
            return None, False
        if latest.intent.kind == "clear":
            return None, True
        values = abi.task_registry("recordBinding").decode_input(latest.intent.data)
        _, _, request_id, task_id, model_digest, params_hash, _, version = values
        return Bound(request_id, task_id, model_digest, params_hash, version), True

    def _bound_subjects(self, challenge_id: int) -> list[str]:
        indexed = {subject for one, subject in self.bindings if one == challenge_id}
        ordered = {
            attempt.subject
            for attempt in self.attempts.get(challenge_id, ())
            if attempt.intent.kind == "bind" and attempt.subject is not None
        }
        return sorted(indexed | ordered)

    def _named(self, challenge_id: int, base: str) -> list[Attempt]:
        return [
            attempt
            for attempt in self.attempts.get(challenge_id, ())
            if attempt.key == base or attempt.key.startswith(f"{base}:")
        ]

    def _waiting(self, challenge_id: int, base: str) -> bool:
        return any(attempt.waiting for attempt in self._named(challenge_id, base))

    def key(self, challenge_id: int, base: str) -> str:
        """The key for the next attempt at ``base``: the last one's until it was signed."""
        named = self._named(challenge_id, base)
        if not named:
            return base
        return f"{base}:{len(named) + 1}" if named[-1].signed else named[-1].key

    def provable(self, challenge_id: int, subject: str) -> bool:
        """Whether a proof may be sent: none is on its way or done, and none is to wait."""
        covering = self._covering(challenge_id, subject)
        if any(attempt.waiting for attempt in covering):
            return False
        if sum(attempt.signed for attempt in covering) >= TRIES:
            return False
        unseen = [attempt for attempt in covering if attempt.unseen(self.indexed_to)]
        if not unseen:
            return True
        if any(attempt.status not in ("mined", "confirmed") for attempt in unseen):
            return False
        # Mined, and the subject is known to have been refused in it: it may be tried again.
        single = [attempt for attempt in covering if attempt.subject == subject]
        return bool(single) and single[-1].last_error is not None and not single[-1].failing

    def alone(self, challenge_id: int, subject: str) -> bool:
        """Whether the subject's proof goes out by itself: a batch with it reverted on chain."""
        return any(
            attempt.spent and attempt.subject is None
            for attempt in self._covering(challenge_id, subject)
        )

    def _covering(self, challenge_id: int, subject: str) -> list[Attempt]:
        """The attempts at a proof of the subject, in batches or alone, the oldest first."""
        return [
            attempt
            for attempt in self.attempts.get(challenge_id, ())
            if attempt.intent.kind == "proof" and subject in proved_subjects(attempt)
        ]


def answers(request: Request, challenge_id: int) -> bool:
    """Whether the request is finalized with the response that proves a winner."""
    return request.status == "finalized" and request.response_hash == expected_response_hash(
        challenge_id
    )


def wanted(request: Request) -> Bound:
    """The binding a winner needs: what the request was made with, so that the three agree."""
    return Bound(
        request_id=request.request_id,
        task_id=request.task_id,
        model_digest=request.model_digest,
        params_hash=request.det_config_hash,
        schema_version=SCHEMA_VERSION,
    )


def proved_subjects(attempt: Attempt) -> tuple[str, ...]:
    """Whose proof a proof intent carries: one subject, or those in a batch's calldata."""
    if attempt.subject is not None:
        return (attempt.subject,)
    _, subjects, _ = abi.challengepay("submitProofForBatch").decode_input(attempt.intent.data)
    return subjects
