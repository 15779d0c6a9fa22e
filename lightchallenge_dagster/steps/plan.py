"""Plans: what each challenge row's configuration means, parsed once per version of the row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lightchallenge_dagster.rules.challenge import ChainTimes, ChallengeConfig, parse_config
from lightchallenge_dagster.rules.windows import partition_key, ranking_closes_at
from lightchallenge_dagster.storage import plans

if TYPE_CHECKING:
    from sqlalchemy import Engine


@dataclass(frozen=True, slots=True)
class PlanPolicy:
    """What a plan depends on besides its challenge (``COMPETITIVE_MARGIN``, ``SUBMIT_RESERVE``).

    Seconds before the proof deadline at which a ranking closes, and at the latest closes.
    """

    competitive_margin_s: int
    submit_reserve_s: int

    @property
    def key(self) -> str:
        """Distinguishes plans made under different policies."""
        return f"{self.competitive_margin_s}:{self.submit_reserve_s}"


def refresh_plans(engine: Engine, policy: PlanPolicy) -> int:
    """Parse every challenge that changed since its plan was made; drop plans of vanished ones.

    Returns how many rows of ``pipeline.challenge_plans`` changed. One query and no write when
    nothing did, so it runs in sensor ticks.
    """
    with engine.begin() as connection:
        changed = [_plan(row, policy) for row in plans.changed(connection, policy.key)]
        return plans.save(connection, changed) + plans.remove_vanished(connection)


def configuration(row: plans.Configuration) -> ChallengeConfig:
    """What a challenge row means; the chain's times win over the row's own."""
    times = (
        None if row.end_ts is None else ChainTimes(row.start_ts, row.end_ts, row.proof_deadline_ts)
    )
    return parse_config(row.params, row.proof, row.timeline, times)


def _plan(row: plans.Configuration, policy: PlanPolicy) -> plans.Plan:
    config = configuration(row)
    return plans.Plan(
        challenge_id=row.challenge_id,
        config_hash=row.config_hash,
        mode=config.mode,
        top_n=config.top_n,
        starts_at=config.starts_at,
        ends_at=config.ends_at,
        proof_deadline=config.proof_deadline,
        ranking_closes_at=ranking_closes_at(
            config.ends_at,
            config.proof_deadline,
            policy.competitive_margin_s,
            policy.submit_reserve_s,
        ),
        partition_key=partition_key(config.ends_at),
        problem=config.problem,
    )
