"""Whatever six workers do to the queue at once, it does as the model says.

Hypothesis looks for a way around it, against a real PostgreSQL.

``SOAK_EXAMPLES=20000 pytest --timeout=0 tests/storage/test_queue_machine.py`` looks far
longer than `make test`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal, get_args

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Connection, text

from lightchallenge_dagster.storage import queue
from lightchallenge_dagster.storage.queue import Claim
from tests import builders
from tests.rules.effort import examples
from tests.storage import queue_model as model
from tests.storage.overlap import Stage, stage
from tests.storage.queue_model import (
    OPEN,
    OVER,
    AskAnew,
    Beat,
    CancelEnded,
    Enqueue,
    GiveBack,
    Job,
    Model,
    Move,
    Outcome,
    Reap,
    Request,
    Take,
    Write,
    explanations,
)

WORKERS = 6
CHALLENGES = tuple(range(1, 8))
NOW = builders.ts(builders.ENDS)

challenge_ids = st.sampled_from(CHALLENGES)
several = st.sets(challenge_ids, min_size=1).map(sorted).map(tuple)
back = st.integers(0, 2) | st.integers(0, 30)
"""Which of all claims ever made, counted back from the latest."""


Event = Literal[
    "another program takes it",
    "a quarter of an hour passes",
    "Finalized",
    "Canceled",
    "its proof window closes",
    "its request is answered",
]
EVENTS: tuple[Event, ...] = get_args(Event)


@dataclass(frozen=True, slots=True)
class Wish:
    """A move to be made; which claim it is about shows only when it is made."""

    what: str
    back: int = 0
    member: int = 0
    batch: int = 1
    challenges: tuple[int, ...] = ()
    outcome: Outcome = "put back"
    flag: bool = False


takes = st.builds(
    Wish,
    what=st.just("take"),
    batch=st.integers(1, 4),
    challenges=st.just(()) | several,
)
about_claims = st.builds(
    Wish,
    what=st.sampled_from(["beat", "give back", "write", "write", "write"]),
    back=back,
    member=st.integers(0, 3),
    outcome=st.sampled_from(get_args(Outcome)),
)
others = st.builds(
    Wish,
    what=st.sampled_from(["reap", "reap", "cancel", "enqueue", "ask anew"]),
    challenges=several,
    flag=st.booleans(),
)
outcomes: st.SearchStrategy[Outcome] = st.sampled_from(
    ["fail", "fail", "submit", "submit", "put back", "skipped", "canceled"]
)
wishes = takes | about_claims | others


class QueueMachine(RuleBasedStateMachine):
    """Workers, a dispatcher, a reaper, an outbox and a chain around one queue."""

    workers: Stage

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.batches: list[list[Claim]] = []
        self.workers.alone(_begin)

    # ── what workers do ──

    @rule(wish=wishes)
    def alone(self, wish: Wish) -> None:
        """One move with nobody else around: the model says exactly what it does."""
        self._moves([wish], [0], ())

    @rule(batches=st.lists(st.integers(1, 4), min_size=4, max_size=WORKERS))
    def many_claim_at_once(self, batches: list[int]) -> None:
        self._moves([Wish("take", batch=one) for one in batches], range(len(batches)), ())

    @rule(
        batch=st.integers(1, 3),
        outcomes=st.lists(outcomes, min_size=1, max_size=3),
        ends=st.sampled_from(["give back", "give back", "beat", "die"]),
    )
    def some_work_through_a_batch(self, batch: int, outcomes: list[Outcome], ends: str) -> None:
        """One after the other, each with its own outcome; what dead ones leave is cleared away."""
        for outcome in outcomes:
            before = len(self.batches)
            self._moves([Wish("take", batch=batch)], [0], ())
            if len(self.batches) == before:
                return
            for at in range(len(self.batches[-1])):
                self._moves([Wish("write", member=at, outcome=outcome)], [0], ())
            if ends == "die":
                self._lose(0)
                self._moves([Wish("reap")], [0], ())
            else:
                self._moves([Wish(ends)], [0], ())

    @rule(
        wanted=st.lists(wishes, min_size=2, max_size=WORKERS),
        order=st.permutations(range(WORKERS)),
        dies=st.sets(st.integers(0, WORKERS - 1), max_size=2),
    )
    def together(self, wanted: list[Wish], order: list[int], dies: set[int]) -> None:
        """Moves whose transactions overlap; some of the workers die before they commit."""
        self._moves(wanted, [at for at in order if at < len(wanted)], dies)

    @rule(
        batch=st.integers(1, 4),
        wanted=st.lists(wishes, min_size=1, max_size=WORKERS - 1),
        order=st.permutations(range(1, WORKERS)),
    )
    def a_claim_is_late(self, batch: int, wanted: list[Wish], order: list[int]) -> None:
        """One sees what is due, and takes it only after others have done all they do."""
        late = Wish("take", batch=batch, flag=True)
        self._moves([late, *wanted], [*order, 0], (), late=0)

    def _moves(
        self,
        wanted: Sequence[Wish],
        order: Sequence[int],
        dies: Collection[int],
        late: int | None = None,
    ) -> None:
        moves = [move for wish in wanted if (move := self._move(wish)) is not None]
        order = [at for at in order if at < len(moves)]
        results = self.workers.together([move.run for move in moves], order, tuple(dies), late)
        survive = [at for at in order if at not in dies]
        found = self.workers.alone(_jobs)
        for after in explanations(self.model, moves, results, survive):
            after.jobs = {
                one: replace(job, order=found[one].order) if one in found else job
                for one, job in after.jobs.items()
            }
            if _told(after.jobs) == found:
                self.model = after
                break
        else:
            made = [(moves[at], results[at]) for at in survive]
            raise AssertionError(f"no order of {made} leads to {found} from {self.model}")
        for at in survive:
            if isinstance(moves[at], Take) and results[at]:
                self.batches.append(results[at])

    def _move(self, wish: Wish) -> Move | None:
        if wish.what == "take":
            return Take("a worker", wish.batch, wish.challenges or None, wish.flag)
        if wish.what == "reap":
            return Reap()
        if wish.what == "cancel":
            return CancelEnded()
        if wish.what == "enqueue":
            return Enqueue(wish.challenges)
        if wish.what == "ask anew":
            return AskAnew(wish.challenges[0], wish.flag)
        if not self.batches:
            return None
        batch = self.batches[-1 - wish.back % len(self.batches)]
        if wish.what == "beat":
            return Beat(tuple(batch))
        if wish.what == "give back":
            return GiveBack(tuple(batch))
        return Write(batch[wish.member % len(batch)], wish.outcome)

    # ── what happens around them ──

    @initialize(first=several)
    def jobs_wait(self, first: tuple[int, ...]) -> None:
        self._moves([Wish("enqueue", challenges=first)], [0], ())

    @rule(back=back)
    def a_lease_runs_out(self, back: int) -> None:
        """A worker was silent for too long."""
        if self.batches:
            self._lose(back)

    def _lose(self, back: int) -> None:
        for claim in self.batches[-1 - back % len(self.batches)]:
            if self.model.holds(claim):
                self.model.change(claim.challenge_id, living=False)
                self._execute(_EXPIRE, challenge_id=claim.challenge_id)

    @rule(challenge_id=challenge_ids, request=st.sampled_from(get_args(Request)))
    def the_outbox_moves_on(self, challenge_id: int, request: Request) -> None:
        self.model.requests[challenge_id] = request
        self.workers.alone(lambda connection: _request(connection, challenge_id, request))

    # One rule for what is rare: Hypothesis takes all rules about equally often.
    @rule(challenge_id=challenge_ids, event=st.sampled_from(EVENTS))
    def something_else_happens(self, challenge_id: int, event: Event) -> None:
        job = self.model.jobs.get(challenge_id)
        if event == "another program takes it" and job is None:
            self.model.enqueue(challenge_id, "processing")
            self._execute(_ANOTHERS, challenge_id=challenge_id)
        elif event == "a quarter of an hour passes":  # for jobs of other programs only
            for one, known in self.model.jobs.items():
                self.model.jobs[one] = replace(known, ancient=True)
            self._execute(_ANCIENT)
        elif event in ("Finalized", "Canceled"):
            self.model.ended.add(challenge_id)
            self._execute(_STATUS, challenge_id=challenge_id, status=event)
        elif event == "its proof window closes":
            self.model.closed.add(challenge_id)
            self._execute(_CLOSE, challenge_id=challenge_id, now=NOW)
        elif event == "its request is answered" and job is not None and job.status == "submitted":
            self.model.change(challenge_id, status="done")
            self._execute(_DONE, challenge_id=challenge_id)

    # ── what always holds ──

    @invariant()
    def the_due_jobs_are_those_that_nothing_hinders(self) -> None:
        assert self.workers.alone(queue.due) == self.model.due()

    @invariant()
    def no_claim_was_made_twice_and_at_most_the_latest_lives(self) -> None:
        made = [claim for batch in self.batches for claim in batch]
        assert len(set(made)) == len(made)
        latest = {one: job.token for one, job in self.model.jobs.items()}
        assert all(claim.token <= latest[claim.challenge_id] for claim in made)

    def teardown(self) -> None:
        """No job is forgotten: once time has passed, workers can do something for each."""
        self._execute("update pipeline.job_claims set expires_at = '-infinity'")
        self._execute(_ANCIENT)
        for challenge_id, request in self.model.requests.items():
            ends: Request = {"flying": "mined", "failing": "reverted", "later": "unsent"}.get(
                request, request
            )  # type: ignore[assignment]
            self.workers.alone(lambda c, i=challenge_id, r=ends: _request(c, i, r))
        waits = {
            one
            for one, job in self.model.jobs.items()
            if job.status in OPEN and one not in self.model.ended | self.model.closed
        }
        assert waits <= set(self.workers.alone(queue.due))

    def _execute(self, statement: str, **values: Any) -> None:
        self.workers.alone(lambda connection: connection.execute(text(statement), values))


# ── the tables ──────────────────────────────────────────────────────────────────────────

_EXPIRE = """update pipeline.job_claims set expires_at = clock_timestamp() - interval '1 s'
              where challenge_id = :challenge_id"""
_STATUS = """update pipeline.chain_challenges set status = :status
              where challenge_id = :challenge_id"""
_CLOSE = """update pipeline.chain_challenges set proof_deadline_ts = :now - 1
             where challenge_id = :challenge_id"""
_ANOTHERS = """insert into public.aivm_jobs (challenge_id, status, attempts)
               values (:challenge_id, 'processing', 0)"""
_ANCIENT = "update public.aivm_jobs set updated_at = now() - interval '16 minutes'"
_DONE = "update public.aivm_jobs set status = 'done' where challenge_id = :challenge_id"

_BEGIN = text(f"""
    delete from public.aivm_jobs;
    delete from pipeline.job_claims;
    delete from pipeline.transactions;
    delete from pipeline.intents;
    update pipeline.chain_challenges
       set status = 'Active', proof_deadline_ts = {NOW} + 3600
""")  # noqa: S608 — a constant of this module


def _begin(connection: Connection) -> None:
    connection.execute(_BEGIN)


def _told(jobs: dict[int, Job]) -> dict[int, Job]:
    """What the tables tell of the model's jobs."""
    return {one: replace(job, ancient=False) for one, job in jobs.items()}


def _jobs(connection: Connection) -> dict[int, Job]:
    rows = connection.execute(
        text("""
            select j.challenge_id, row_number() over (order by j.created_at, j.id) as place,
                   j.status, j.attempts, j.last_error, coalesce(c.token, 0) as token,
                   coalesce(c.expires_at > clock_timestamp(), false) as living,
                   coalesce(c.expires_at = '-infinity', false) as given_back
              from public.aivm_jobs j left join pipeline.job_claims c using (challenge_id)
        """)
    ).all()
    for row in rows:
        assert row.last_error or row.status not in ("failed", *OVER), f"no reason: {row}"
    return {
        row.challenge_id: Job(
            row.place, row.status, row.attempts, row.token, row.living, row.given_back
        )
        for row in rows
    }


def _request(connection: Connection, challenge_id: int, request: Request) -> None:
    """The challenge's request is so far now."""
    status = {"later": "planned", "unsent": "refused", "flying": "broadcast", "failing": "mined"}
    values: dict[str, Any] = {
        "key": f"request:{challenge_id}:1",
        "challenge_id": challenge_id,
        "status": status.get(request, request),
        "retry": timedelta(hours=1) if request == "later" else timedelta(seconds=-1),
        "receipt": {"mined": 1, "failing": 0, "reverted": 0}.get(request),
        "hash": model.task(challenge_id),
    }
    connection.execute(text("delete from pipeline.transactions where intent_key = :key"), values)
    connection.execute(text("delete from pipeline.intents where key = :key"), values)
    if request == "none":
        return
    connection.execute(
        text("""
            insert into pipeline.intents
                (key, chain_id, kind, challenge_id, signer, to_address, data, status, retry_at)
            values (:key, 504, 'request', :challenge_id, '', '', '0x', :status,
                    now() + cast(:retry as interval))
        """),
        values,
    )
    if request in ("flying", "mined", "failing", "reverted"):
        connection.execute(
            text("""
                insert into pipeline.transactions
                    (hash, intent_key, chain_id, signer, nonce, raw, gas, max_fee_per_gas,
                     receipt_status)
                values (:hash, :key, 504, '', :challenge_id, '', 1, 1, :receipt)
            """),
            values,
        )


def test_the_queue_does_what_the_model_says_whatever_workers_do_at_once(database_url: str) -> None:
    with stage(database_url, WORKERS) as workers:
        for challenge_id in CHALLENGES:
            builders.on_chain(workers.engine, challenge_id)
        head(workers)
        workers.hold_up_in("pipeline.due_jobs")
        run_state_machine_as_test(
            type("Machine", (QueueMachine,), {"workers": workers}),
            settings=settings(examples(70), stateful_step_count=15),
        )


def head(workers: Stage) -> None:
    """The indexer's checkpoint."""
    known = {"chain_id": builders.CHAIN_ID}
    builders.insert(
        workers.engine,
        "pipeline.chain_blocks",
        **known,
        number=5,
        hash=builders.HASH,
        parent_hash=builders.HASH,
        timestamp=NOW,
    )
    builders.insert(
        workers.engine,
        "pipeline.checkpoints",
        **known,
        stream="live",
        block_number=5,
        block_hash=builders.HASH,
        first_block=1,
    )
