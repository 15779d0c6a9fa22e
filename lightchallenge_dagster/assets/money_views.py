"""What the pages of the queue and the transactions show beside their rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dagster import MetadataValue

from lightchallenge_dagster.assets import figures, money_plots
from lightchallenge_dagster.assets.metadata import markdown_table
from lightchallenge_dagster.rules.amounts import lcai
from lightchallenge_dagster.storage import money_views as views

if TYPE_CHECKING:
    from sqlalchemy import Engine


def queue_shown(engine: Engine) -> dict[str, Any]:
    """The jobs by status."""
    with engine.connect() as connection:
        counts = views.queue(connection)
    if not counts:
        return {}
    rows = [(one.status, one.jobs, one.attempts, one.oldest) for one in counts]
    columns = ("status", "jobs", "refusals", "still since")
    return {"queue": markdown_table(columns, rows)}


def transactions_shown(engine: Engine) -> dict[str, Any]:
    """The wallets that sign, and what was spent by day."""
    with engine.connect() as connection:
        wallets = views.wallets(connection)
        spend = views.spend(connection)
    shown: dict[str, Any] = {}
    if wallets:
        rows = [
            (one.signer, one.in_flight, one.unconfirmed, one.last_nonce, lcai(one.spent_wei))
            for one in wallets
        ]
        columns = ("wallet", "in flight", "to be confirmed", "last nonce", "spent in 24 hours")
        shown["wallets"] = markdown_table(columns, rows)
    if spend:
        total = lcai(sum(one.wei for one in spend))
        plot = figures.picture(f"{total} spent", money_plots.draw_spend(spend))
        shown["spend"] = MetadataValue.md(
            f"{plot}\n\n{total} in the last 30 days: what transactions carried, and their gas."
            " Request fees that came back are not taken off."
        )
    return shown


#: Asset key to what is shown beside its rows.
SHOWN = {"aivm_jobs": queue_shown, "transactions": transactions_shown}
