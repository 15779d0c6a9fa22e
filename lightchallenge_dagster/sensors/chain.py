"""The block and verification sensors: they look, and launch a run only when one is needed."""

# Dagster's own decorators are typed in part only.
# pyright: reportUnknownVariableType=false

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

from dagster import (
    DefaultSensorStatus,
    RunRequest,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
    sensor,
)

from lightchallenge_dagster.assets.partitions import BLOCK_RANGES, add_keys
from lightchallenge_dagster.jobs.chain import (
    follow_chain,
    follow_lease,
    verify_chain,
    verify_lease,
)
from lightchallenge_dagster.jobs.lease import LAUNCH_TTL_S, NAME_TAG, TOKEN_TAG
from lightchallenge_dagster.resources.chain import ChainResource
from lightchallenge_dagster.resources.database import DatabaseResource
from lightchallenge_dagster.rules.ranges import partitions_of
from lightchallenge_dagster.storage import lag, leases

if TYPE_CHECKING:
    from sqlalchemy import Engine


def block_sensor(interval_s: int) -> SensorDefinition:
    """Looks at the chain every ``interval_s`` seconds.

    A tick looks under the follower's own lease, so it never reads beside a run in flight: an empty
    range is committed here and now, a range with logs hands the lease to one run. What happens
    while that run is busy becomes the next range.
    """

    @sensor(
        name="block_sensor",
        job=follow_chain,
        minimum_interval_seconds=interval_s,
        default_status=DefaultSensorStatus.RUNNING,
        description="New confirmed blocks: empty ones are committed here, one run indexes others.",
    )
    def look_at_chain(
        context: SensorEvaluationContext, database: DatabaseResource, chain: ChainResource
    ) -> RunRequest | SkipReason:
        from lightchallenge_dagster.steps import index

        engine = database.engine()

        def look() -> index.Outlook:
            outlook = index.look(engine, chain.reader(hasty=True), chain.index_policy())
            with engine.begin() as connection:
                lag.sample(connection, chain.chain_id, outlook.head, outlook.head_ts)
            return outlook

        name = follow_lease(chain.chain_id)
        return _tick(context, engine, name, look, busy="a run is indexing a range")

    return look_at_chain


def verification_sensor(interval_s: int) -> SensorDefinition:
    """Reads a few blocks again every ``interval_s`` seconds, some way behind the checkpoint.

    What is equal moves the watermark here and now. A long backlog, or a difference, is a run's
    work. A block that two endpoints dispute is left alone between attempts.
    """

    @sensor(
        name="verification_sensor",
        job=verify_chain,
        minimum_interval_seconds=interval_s,
        default_status=DefaultSensorStatus.RUNNING,
        description="Reads indexed blocks a second time; one run settles what differs.",
    )
    def look_again(
        context: SensorEvaluationContext, database: DatabaseResource, chain: ChainResource
    ) -> RunRequest | SkipReason:
        from lightchallenge_dagster.steps import verify

        engine = database.engine()

        def look() -> verify.VerifyOutlook:
            return verify.look(
                engine,
                chain.reader(hasty=True),
                chain.index_policy(),
                behind=chain.verify_behind_blocks,
            )

        name = verify_lease(chain.chain_id)
        return _tick(context, engine, name, look, busy="a run is reading blocks again")

    return look_again


class _Outlook(Protocol):
    @property
    def waiting(self) -> bool: ...
    @property
    def reason(self) -> str: ...
    @property
    def from_block(self) -> int: ...
    @property
    def to_block(self) -> int: ...


def _tick(
    context: SensorEvaluationContext,
    engine: "Engine",
    name: str,
    look: Callable[[], _Outlook],
    *,
    busy: str,
) -> RunRequest | SkipReason:
    """Look under the lease ``name``, and hand it to a run when one is needed."""
    with engine.begin() as connection:
        token = leases.acquire(connection, name, f"tick {uuid4()}", LAUNCH_TTL_S)
    if token is None:
        return SkipReason(f"in flight: {busy}")
    try:
        outlook = look()
    except BaseException:
        # An outage must not cost the next tick: the lease is kept for a launched run only.
        _give_back(engine, name, token)
        raise
    if not outlook.waiting:
        _give_back(engine, name, token)
        return SkipReason(outlook.reason)
    first, last = outlook.from_block, outlook.to_block
    add_keys(context.instance, BLOCK_RANGES, partitions_of(first, last))
    return RunRequest(
        run_key=f"{name}#{token}",
        tags={
            NAME_TAG: name,
            TOKEN_TAG: str(token),
            "lightchallenge/blocks": f"{first}-{last}",
        },
    )


def _give_back(engine: "Engine", name: str, token: int) -> None:
    with engine.begin() as connection:
        leases.release(connection, name, token)
