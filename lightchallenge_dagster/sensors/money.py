"""Work sensors of the money jobs: requests, settlements, finalizations."""

# Dagster's own decorators are typed in part only.
# pyright: reportUnknownVariableType=false

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from dagster import (
    DefaultSensorStatus,
    JobDefinition,
    RunRequest,
    SensorDefinition,
    SkipReason,
    sensor,
)

from lightchallenge_dagster.jobs.money import (
    FINALIZE_LEASE,
    REQUEST_LEASE,
    SETTLE_LEASE,
    finalize_challenges,
    request_inferences,
    settle_winners,
)
from lightchallenge_dagster.resources.chain import ChainResource
from lightchallenge_dagster.resources.database import DatabaseResource
from lightchallenge_dagster.resources.policy import Policy
from lightchallenge_dagster.sensors.work import Work, requests_or_reason
from lightchallenge_dagster.storage.chain_time import confirmed_now

if TYPE_CHECKING:
    from sqlalchemy import Engine

#: What a money sensor asks: what there is to do at this chain time, in words.
FindDue = Callable[["Engine", int, Policy], Sequence[str]]


def request_sensor(interval_s: int) -> SensorDefinition:
    """Challenges to dispatch, and queued jobs to submit."""
    return _money_sensor(
        "request_sensor", request_inferences, REQUEST_LEASE, interval_s, requests_due
    )


def settlement_sensor(interval_s: int) -> SensorDefinition:
    """Settled winners without a binding or a proof."""
    return _money_sensor(
        "settlement_sensor", settle_winners, SETTLE_LEASE, interval_s, settlements_due
    )


def finalization_sensor(interval_s: int) -> SensorDefinition:
    """Challenges past both deadlines."""
    return _money_sensor(
        "finalization_sensor", finalize_challenges, FINALIZE_LEASE, interval_s, finalizations_due
    )


def requests_due(engine: "Engine", now: int, policy: Policy) -> list[str]:
    """Challenges whose job can be queued, submitted, or ends with its challenge; late requests."""
    from lightchallenge_dagster.steps import cancel_jobs, dispatch, reclaim, request

    del policy
    return _named(
        {
            *dispatch.dispatchable(engine, now),
            *request.requestable(engine),
            *reclaim.reclaimable(engine, now),
            *cancel_jobs.cancelable(engine),
        }
    )


def settlements_due(engine: "Engine", now: int, policy: Policy) -> list[str]:
    """Challenges with a binding or a proof to send, and sent transactions to follow up."""
    from lightchallenge_dagster.steps import outbox, settle

    del policy
    return [
        *_named({work.challenge_id for work in settle.unsettled(engine, now)}),
        *outbox.advanceable(engine),
    ]


def finalizations_due(engine: "Engine", now: int, policy: Policy) -> list[str]:
    """Challenges to finalize."""
    from lightchallenge_dagster.steps import finalize

    return _named(
        finalize.overdue(
            engine, now, despite_missing_winners=policy.finalize_despite_missing_winners
        )
    )


def money_work(
    engine: "Engine", chain: ChainResource, policy: Policy, lease: str, due: FindDue
) -> list[Work]:
    """One run for everything that is due at confirmed chain time; nothing before that is known."""
    with engine.connect() as connection:
        now = confirmed_now(connection, chain.chain_id)
    if now is None:
        return []
    found = due(engine, now, policy)
    return [Work(", ".join(found), lease)] if found else []


def _named(challenge_ids: Iterable[int]) -> list[str]:
    return [f"challenge {number}" for number in sorted(set(challenge_ids))]


def _money_sensor(
    name: str, job: JobDefinition, lease: str, interval_s: int, due: FindDue
) -> SensorDefinition:
    @sensor(
        name=name,
        job=job,
        minimum_interval_seconds=interval_s,
        default_status=DefaultSensorStatus.RUNNING,
        description=due.__doc__,
    )
    def look_for_due_challenges(
        database: DatabaseResource, chain: ChainResource, policy: Policy
    ) -> list[RunRequest] | SkipReason:
        engine = database.engine()
        found = money_work(engine, chain, policy, lease, due)
        return requests_or_reason(engine, found, idle="nothing is due")

    return look_for_due_challenges
