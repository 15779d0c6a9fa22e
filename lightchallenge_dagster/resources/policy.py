"""The operator's choices about judging and money, as a resource."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagster import ConfigurableResource

from lightchallenge_dagster.settings import SettingsError

if TYPE_CHECKING:
    from lightchallenge_dagster.steps.outbox import OutboxPolicy
    from lightchallenge_dagster.steps.plan import PlanPolicy
    from lightchallenge_dagster.steps.request import RequestPolicy


class Policy(ConfigurableResource):  # pyright: ignore[reportMissingTypeArgument]
    """Margins in seconds, money in wei. ``base_url`` without a slash at its end."""

    competitive_margin_s: int = 7200
    submit_reserve_s: int = 600
    request_fee_wei: int = 10**15
    max_attempts: int = 10
    finalize_despite_missing_winners: bool = False
    max_fee_per_gas_wei: int = 500 * 10**9
    max_transaction_value_wei: int = 10**17
    max_request_spend_per_day_wei: int = 10**18
    base_url: str | None = None
    metadata_batch_size: int = 50

    def requests(self, worker: str) -> RequestPolicy:
        """What a request costs and how often a refused one is tried, signed by ``worker``."""
        from lightchallenge_dagster.steps.request import RequestPolicy

        return RequestPolicy(
            worker=worker, request_fee_wei=self.request_fee_wei, max_attempts=self.max_attempts
        )

    def outbox(self, chain_id: int, confirmations: int) -> OutboxPolicy:
        """How transactions are sent, and what they may cost."""
        from lightchallenge_dagster.steps.outbox import OutboxPolicy

        return OutboxPolicy(
            chain_id=chain_id,
            confirmations=confirmations,
            max_fee_per_gas_wei=self.max_fee_per_gas_wei,
            max_value_wei=self.max_transaction_value_wei,
            max_request_spend_per_day_wei=self.max_request_spend_per_day_wei,
        )

    def metadata_base(self) -> str:
        """The web app's address; raises ``SettingsError`` when ``BASE_URL`` is not set."""
        if not self.base_url:
            raise SettingsError(
                "BASE_URL or NEXT_PUBLIC_BASE_URL is not set; see docs/configuration.md"
            )
        return self.base_url

    def plans(self) -> PlanPolicy:
        """When competitive rankings close."""
        from lightchallenge_dagster.steps.plan import PlanPolicy

        return PlanPolicy(
            competitive_margin_s=self.competitive_margin_s, submit_reserve_s=self.submit_reserve_s
        )
