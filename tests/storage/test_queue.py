"""AIVM jobs are claimed with a lease, a heartbeat and a fencing token."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine

from lightchallenge_dagster.storage import jobs, queue, sending
from lightchallenge_dagster.storage import outbox as stored
from lightchallenge_dagster.storage.outbox import Intent
from lightchallenge_dagster.storage.queue import Claim, ClaimLost
from tests import builders
from tests.builders import execute, rows
from tests.storage.overlap import Act, Stage, stage

LEASE_S = 3600.0


@pytest.fixture
def workers(database_url: str) -> Iterator[Stage]:
    with stage(database_url, 6) as made:
        yield made


def queued(engine: Engine, *challenge_ids: int, status: str = "queued", attempts: int = 0) -> None:
    """Jobs, the first the oldest, of challenges that run on chain."""
    for challenge_id in challenge_ids:
        builders.on_chain(engine, challenge_id)
        builders.insert(
            engine,
            "public.aivm_jobs",
            challenge_id=challenge_id,
            status=status,
            attempts=attempts,
        )


def claiming(worker: str = "a", batch: int = 10, only: list[int] | None = None) -> Act:
    def act(connection: Connection) -> list[Claim]:
        return queue.claim(connection, worker, batch=batch, lease_s=LEASE_S, challenge_ids=only)

    return act


def claim(engine: Engine, worker: str = "a", batch: int = 10) -> list[Claim]:
    with engine.begin() as connection:
        return claiming(worker, batch)(connection)


def release(engine: Engine, *claims: Claim) -> None:
    with engine.begin() as connection:
        queue.release(connection, claims)


def expire(engine: Engine) -> None:
    """Let every lease run out."""
    execute(
        engine,
        """update pipeline.job_claims set expires_at = clock_timestamp() - interval '1 s'
            where expires_at > clock_timestamp()""",
    )


def job(engine: Engine, challenge_id: int) -> tuple[str, int, str | None]:
    ((status, attempts, error),) = rows(
        engine,
        "select status, attempts, last_error from public.aivm_jobs where challenge_id = :id",
        id=challenge_id,
    )
    return status, attempts, error


def due(engine: Engine) -> list[int]:
    with engine.begin() as connection:
        return queue.due(connection)


# ── claims ──────────────────────────────────────────────────────────────────────────────


def test_the_oldest_jobs_are_claimed_first_and_stand_as_processing(database: Engine) -> None:
    queued(database, 9, 3, 7)
    assert claim(database, batch=2) == [Claim(3, 1), Claim(9, 1)]
    assert [job(database, one)[0] for one in (9, 3, 7)] == ["processing", "processing", "queued"]
    assert claim(database, "b") == [Claim(7, 1)]
    assert claim(database, "c") == []


def test_a_choice_of_challenges_is_kept_to(workers: Stage) -> None:
    queued(workers.engine, 1, 2, 3)
    assert workers.alone(claiming(only=[2, 8])) == [Claim(2, 1)]
    assert workers.alone(claiming(only=[])) == []


def test_every_claim_of_a_job_has_a_larger_token(database: Engine) -> None:
    queued(database, 1)
    tokens: list[int] = []
    for _ in range(3):
        (one,) = claim(database)
        tokens.append(one.token)
        release(database, one)
        (one,) = claim(database)
        tokens.append(one.token)
        expire(database)
    assert tokens == [1, 2, 3, 4, 5, 6]


def test_six_at_once_share_the_jobs_and_nobody_waits(workers: Stage) -> None:
    queued(workers.engine, *range(1, 21))
    acts = [claiming(f"worker {at}", batch=3) for at in range(6)]
    taken: list[list[Claim]] = workers.together(acts, order=range(6))
    assert [len(one) for one in taken] == [3] * 6
    assert sorted(one.challenge_id for each in taken for one in each) == list(range(1, 19))


def test_a_batch_is_filled_past_the_rows_that_others_hold(workers: Stage) -> None:
    queued(workers.engine, 1, 2, 3)
    first, second = workers.together([claiming(batch=2), claiming(batch=2)], order=[1, 0])
    assert sorted(map(len, (first, second))) == [1, 2]


def test_who_saw_a_job_free_and_comes_a_moment_late_does_not_get_it(workers: Stage) -> None:
    queued(workers.engine, 1)
    workers.hold_up_in("pipeline.due_jobs")
    taken = workers.together([claiming("late"), claiming("quick")], order=[1, 0], late=0)
    assert taken == [[], [Claim(1, 1)]]


def test_who_comes_a_moment_late_takes_what_is_free_again(workers: Stage) -> None:
    queued(workers.engine, 1)
    workers.hold_up_in("pipeline.due_jobs")

    def looks_and_gives_back(connection: Connection) -> None:
        queue.release(connection, claiming("quick")(connection))

    taken = workers.together([claiming("late"), looks_and_gives_back], order=[1, 0], late=0)
    assert taken[0] == [Claim(1, 2)]


def test_who_comes_a_moment_late_does_not_take_what_is_over_by_then(workers: Stage) -> None:
    queued(workers.engine, 1)
    workers.hold_up_in("pipeline.due_jobs")

    def cancels(connection: Connection) -> list[int]:
        return jobs.cancel(connection, [1], "it ended")

    assert workers.together([claiming("late"), cancels], order=[1, 0], late=0) == [[], [1]]
    assert job(workers.engine, 1) == ("canceled", 0, "it ended")


def test_a_claim_that_is_rolled_back_leaves_the_job_as_it_was(workers: Stage) -> None:
    queued(workers.engine, 1)
    workers.together([claiming()], order=[0], dies=[0])
    assert job(workers.engine, 1) == ("queued", 0, None)
    assert claim(workers.engine) == [Claim(1, 1)]


def test_a_heartbeat_keeps_what_is_still_held_and_tells_it(database: Engine) -> None:
    queued(database, 1, 2)
    claims = claim(database)
    with database.begin() as connection:
        assert queue.renew(connection, claims, LEASE_S) == claims
        assert queue.renew(connection, [Claim(1, 7), Claim(5, 1)], LEASE_S) == []
    expire(database)
    with database.begin() as connection:
        assert queue.renew(connection, claims, LEASE_S) == []


def test_a_lost_claim_holds_nothing_and_gives_nothing_back(database: Engine) -> None:
    queued(database, 1)
    (old,) = claim(database)
    expire(database)
    (new,) = claim(database, "b")
    with database.begin() as connection, pytest.raises(ClaimLost):
        queue.hold(connection, old)
    release(database, old)
    assert claim(database, "c") == []
    with database.begin() as connection:
        queue.hold(connection, new)


def test_an_expired_claim_holds_nothing_even_before_somebody_takes_it(database: Engine) -> None:
    queued(database, 1)
    (old,) = claim(database)
    expire(database)
    with database.begin() as connection, pytest.raises(ClaimLost):
        queue.hold(connection, old)


# ── the dead ────────────────────────────────────────────────────────────────────────────


def test_the_jobs_of_a_dead_worker_go_back_and_say_so(database: Engine) -> None:
    queued(database, 1)
    queued(database, 2, attempts=2)
    queued(database, 3)
    claim(database, "the late one", batch=2)
    expire(database)
    claim(database, "the living one", batch=1)
    with database.begin() as connection:
        assert queue.reap(connection) == [2]
        assert queue.reap(connection) == []
    assert job(database, 2) == ("failed", 2, "its worker died: the late one")
    assert job(database, 1)[0] == "processing"


def test_a_job_is_not_put_back_under_the_hands_of_whoever_just_claimed_it(workers: Stage) -> None:
    queued(workers.engine, 1)
    claim(workers.engine, "the dead one")
    expire(workers.engine)
    claimed = threading.Event()

    def claims(connection: Connection) -> list[Claim]:
        taken = claiming("the living one")(connection)
        claimed.set()
        return taken

    def reaps(connection: Connection) -> list[int]:
        assert claimed.wait(10)
        return queue.reap(connection)

    assert workers.together([claims, reaps], order=[0, 1]) == [[Claim(1, 2)], []]
    assert job(workers.engine, 1)[0] == "processing"


def test_a_claim_that_was_given_back_has_nobody_dead_behind_it(database: Engine) -> None:
    """A worker leaves a job whose request is in flight, and goes."""
    queued(database, 1)
    (one,) = claim(database)
    release(database, one)
    with database.begin() as connection:
        assert queue.reap(connection) == []
    assert job(database, 1) == ("processing", 0, None)
    assert due(database) == [1]


def somebody_waits(engine: Engine) -> bool:
    """Whether a session of this database waits for a lock."""
    ((count,),) = rows(
        engine,
        """select count(*) from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock'""",
    )
    return count > 0


def until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.001)


def test_a_worker_whose_lease_runs_out_while_it_writes_is_no_deadlock(workers: Stage) -> None:
    """Whoever claims the job meanwhile leaves it alone, or waits; never both for each other."""
    queued(workers.engine, 1)
    (old,) = workers.alone(lambda c: queue.claim(c, "slow", batch=1, lease_s=0.2))
    ran_out, claimed = threading.Event(), threading.Event()

    def writes(connection: Connection) -> None:
        queue.hold(connection, old)
        until(lambda: due(workers.engine) == [1])
        ran_out.set()
        until(lambda: claimed.is_set() or somebody_waits(workers.engine))
        jobs.put_back(connection, 1, "not now")

    def claims(connection: Connection) -> list[Claim]:
        assert ran_out.wait(10)
        taken = claiming("b")(connection)
        claimed.set()
        return taken

    assert workers.together([writes, claims], order=[0, 1])[1] == []
    assert job(workers.engine, 1) == ("queued", 0, "not now")


def test_claims_that_are_given_back_and_taken_at_once_are_no_deadlock(workers: Stage) -> None:
    queued(workers.engine, 2, 1)  # the oldest job is not the lowest challenge
    old = claim(workers.engine, "the late one")
    expire(workers.engine)
    given = threading.Event()

    def gives_back(connection: Connection) -> None:
        queue.release(connection, old[:1])
        given.set()
        until(lambda: somebody_waits(workers.engine))
        queue.release(connection, old[1:])

    def claims(connection: Connection) -> list[Claim]:
        assert given.wait(10)
        return claiming("b")(connection)

    assert workers.together([gives_back, claims], order=[0, 1])[1] == [Claim(1, 2), Claim(2, 2)]


# ── what is due ─────────────────────────────────────────────────────────────────────────

NOW, LATER = timedelta(seconds=-1), timedelta(hours=1)


def request(
    engine: Engine, challenge_id: int, status: str, retry: timedelta | None, number: int = 1
) -> None:
    """The request intent of a challenge as the outbox leaves it."""
    key = f"request:{challenge_id}:{number}"
    wallet = builders.wallet(1)
    intent = Intent(key, "request", wallet, wallet, "0x", challenge_id=challenge_id)
    with engine.begin() as connection:
        stored.plan(connection, builders.CHAIN_ID, [intent])
        if status == "refused":
            sending.record_refusal(connection, key, "no", counts=True, retry_s=1)
    execute(
        engine,
        """update pipeline.intents set status = :status,
                  retry_at = clock_timestamp() + cast(:retry as interval) where key = :key""",
        status=status,
        retry=retry,
        key=key,
    )


@pytest.mark.parametrize(
    ("status", "retry", "expected"),
    [
        ("planned", None, True),
        ("planned", NOW, True),
        ("planned", LATER, False),
        ("refused", NOW, True),
        ("refused", LATER, False),
        # In flight: the outbox looks after it.
        ("signed", None, False),
        ("signed", NOW, False),
        ("broadcast", NOW, False),
        # On chain, and not yet noted in the job.
        ("mined", NOW, True),
        ("mined", LATER, False),
        ("confirmed", None, True),
        # A new one is needed.
        ("reverted", None, True),
        ("reverted", LATER, True),
    ],
)
def test_a_job_is_due_by_how_far_its_request_is(
    database: Engine, status: str, retry: timedelta | None, expected: bool
) -> None:
    queued(database, 1)
    request(database, 1, status, retry)
    assert (due(database) == [1]) == expected
    assert (claim(database) != []) == expected


def test_only_the_latest_request_says_whether_a_job_waits(database: Engine) -> None:
    queued(database, 1, 2)
    for challenge_id, waits in ((1, False), (2, True)):
        request(database, challenge_id, "refused", NOW if waits else LATER)
        request(database, challenge_id, "refused", LATER if waits else NOW, number=2)
    assert due(database) == [1]
    assert claim(database) == [Claim(1, 1)]


def test_whoever_waits_for_no_challenge_keeps_no_job_back(database: Engine) -> None:
    queued(database, 1)
    request(database, 9, "planned", LATER)
    execute(database, "update pipeline.intents set challenge_id = null")
    assert claim(database) == [Claim(1, 1)]


@pytest.mark.parametrize("status", ["queued", "failed", "processing"])
def test_a_job_in_the_hands_of_a_worker_is_not_due(database: Engine, status: str) -> None:
    queued(database, 1)
    claim(database)
    execute(database, "update public.aivm_jobs set status = :status", status=status)
    assert due(database) == []
    expire(database)
    assert due(database) == [1]


@pytest.mark.parametrize("status", ["submitted", "committed", "revealed", "done", "dead"])
def test_a_job_that_is_through_or_over_is_not_due(database: Engine, status: str) -> None:
    queued(database, 1, status=status)
    assert due(database) == []
    assert claim(database) == []


def test_what_another_program_works_on_is_its_own_for_a_quarter_of_an_hour(
    database: Engine,
) -> None:
    queued(database, 1, status="processing")
    assert due(database) == []
    with database.begin() as connection:
        assert queue.reap(connection) == []
    execute(database, "update public.aivm_jobs set updated_at = now() - interval '16 minutes'")
    assert due(database) == [1]
    assert claim(database) == [Claim(1, 1)]


@pytest.mark.parametrize("status", ["Finalized", "Canceled"])
def test_the_job_of_a_challenge_that_ended_is_not_claimed(database: Engine, status: str) -> None:
    queued(database, 1)
    execute(database, "update pipeline.chain_challenges set status = :status", status=status)
    assert due(database) == []


def head(engine: Engine, timestamp: int) -> None:
    """The indexer's checkpoint, at a block of this time."""
    values: dict[str, Any] = {"chain_id": builders.CHAIN_ID}
    builders.insert(
        engine,
        "pipeline.chain_blocks",
        **values,
        number=5,
        hash=builders.HASH,
        parent_hash=builders.HASH,
        timestamp=timestamp,
    )
    builders.insert(
        engine,
        "pipeline.checkpoints",
        **values,
        stream="live",
        block_number=5,
        block_hash=builders.HASH,
        first_block=1,
    )


def test_after_the_deadline_only_what_was_requested_is_noted(database: Engine) -> None:
    queued(database, 1, 2)
    head(database, builders.ts(builders.DEADLINE))
    assert due(database) == [1, 2]
    execute(database, "update pipeline.chain_blocks set timestamp = timestamp + 1")
    assert due(database) == []
    request(database, 2, "mined", None)
    assert due(database) == [2]
