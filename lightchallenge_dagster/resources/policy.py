"""The operator's choices about judging and money, as a resource."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagster import ConfigurableResource

if TYPE_CHECKING:
    from lightchallenge_dagster.steps.plan import PlanPolicy
    from lightchallenge_dagster.steps.request import RequestPolicy


class Policy(ConfigurableResource):  # pyright: ignore[reportMissingTypeArgument]
    """Margins in seconds, fee in wei."""

    competitive_margin_s: int = 7200
    submit_reserve_s: int = 600
    request_fee_wei: int = 10**15
    max_attempts: int = 10
    finalize_despite_missing_winners: bool = False

    def requests(self, worker: str) -> RequestPolicy:
        """What a request costs and how often a refused one is tried, signed by ``worker``."""
        from lightchallenge_dagster.steps.request import RequestPolicy

        return RequestPolicy(
            worker=worker, request_fee_wei=self.request_fee_wei, max_attempts=self.max_attempts
        )

    def plans(self) -> PlanPolicy:
        """When competitive rankings close."""
        from lightchallenge_dagster.steps.plan import PlanPolicy

        return PlanPolicy(
            competitive_margin_s=self.competitive_margin_s, submit_reserve_s=self.submit_reserve_s
        )
