"""When a ranking closes, which partition a challenge belongs to, and windows too short to pay in.

RULES.md "Rankings", DESIGN.md "when a competitive challenge is ranked". All instants are aware.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

UNSCHEDULED = "unscheduled"
"""The partition of challenges whose end nobody knows: previews and unknown ones."""


def ranking_closes_at(
    ends_at: datetime | None, proof_deadline: datetime | None, margin_s: int, reserve_s: int
) -> datetime | None:
    """``min(max(endsAt, proofDeadline - margin), proofDeadline - reserve)``.

    From then on a competitive ranking takes no better upload, so that there is time to prove the
    winners. Without a known end the margin alone decides; None without a proof deadline, because
    then nothing can be proved.
    """
    if proof_deadline is None:
        return None
    wanted = proof_deadline - timedelta(seconds=margin_s)
    if ends_at is not None:
        wanted = max(ends_at, wanted)
    return min(wanted, proof_deadline - timedelta(seconds=reserve_s))


def partition_key(ends_at: datetime | None) -> str:
    """The UTC day on which the challenge ends (``2026-03-31``), or ``unscheduled``."""
    return UNSCHEDULED if ends_at is None else ends_at.astimezone(UTC).date().isoformat()
