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


def window_problem(
    ends_at: datetime | None, proof_deadline: datetime | None, reserve_s: int
) -> str | None:
    """Why a competitive challenge cannot be ranked after its end and still be paid, or None.

    Its proof window must be longer than the reserve for sending proofs; otherwise the ranking
    closes before the end and whoever leads by then is paid.
    """
    if ends_at is None or proof_deadline is None:
        return None
    closes = proof_deadline - timedelta(seconds=reserve_s)
    if closes >= ends_at:
        return None
    window = int((proof_deadline - ends_at).total_seconds())
    return (
        f"the proof window is {window} s long, shorter than the {reserve_s} s reserved for sending "
        f"proofs: the ranking closes at {_instant(closes)}, before the challenge ends at "
        f"{_instant(ends_at)}; move the proof deadline later with setVerificationConfig"
    )


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
