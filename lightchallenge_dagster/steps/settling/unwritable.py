"""What cannot be written as calldata stops its own wallet, and nobody else's payment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightchallenge_dagster.steps.settling.report import wallet_name

if TYPE_CHECKING:
    from lightchallenge_dagster.steps.settling.run import Run
    from lightchallenge_dagster.storage.outbox import Intent

#: The data of an intent that nothing could be written for.
NO_DATA = "0x"

_WORDS_MAX = 500
_WHAT = {"bind": "binding", "clear": "clearing", "proof": "proof"}


def refuse_unwritable(run: Run, intent: Intent, error: Exception) -> None:
    """Refuse an intent without its data, by name; it is tried again like any refusal.

    Not inside a transaction: the outbox takes one of its own.
    """
    why = f"its {_WHAT[intent.kind]} cannot be written: {error}"[:_WORDS_MAX]
    run.outbox.refuse(intent, why)
    run.report.refused.append(f"{wallet_name(intent.challenge_id or 0, intent.subject)}: {why}")
