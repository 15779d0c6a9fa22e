"""When a ranking closes, and windows too short to pay in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given, settings
from hypothesis import strategies as st

from lightchallenge_dagster.rules.windows import partition_key, ranking_closes_at

END = datetime(2026, 3, 31, 18, tzinfo=UTC)


def closes(window_s: int, margin_s: int = 7200, reserve_s: int = 600) -> int:
    """Seconds from the end to the close, for a proof window of ``window_s``."""
    deadline = END + timedelta(seconds=window_s)
    closing = ranking_closes_at(END, deadline, margin_s, reserve_s)
    assert closing is not None
    return int((closing - END).total_seconds())


def test_everyone_can_upload_until_the_margin_before_the_proof_deadline() -> None:
    assert closes(86400) == 86400 - 7200


def test_a_ranking_does_not_close_before_the_end_while_proofs_can_still_be_sent() -> None:
    assert closes(3600) == 0


def test_a_ranking_closes_before_the_end_when_else_nothing_could_be_proved() -> None:
    assert closes(0) == -600
    assert closes(599) == -1


def test_without_a_proof_deadline_a_ranking_never_closes() -> None:
    assert ranking_closes_at(END, None, 7200, 600) is None


def test_without_an_end_the_margin_decides() -> None:
    assert ranking_closes_at(None, END, 7200, 600) == END - timedelta(seconds=7200)
    assert ranking_closes_at(None, END, 10, 600) == END - timedelta(seconds=600)


@settings(deadline=None)
@given(st.integers(0, 10**7), st.integers(0, 10**6), st.integers(0, 10**6))
def test_there_is_always_the_reserve_left_to_send_proofs(
    window: int, margin: int, reserve: int
) -> None:
    close = closes(window, margin, reserve)
    assert close <= window - reserve


def test_the_partition_is_the_utc_day_of_the_end() -> None:
    assert partition_key(END) == "2026-03-31"
    late = datetime(2026, 4, 1, 1, tzinfo=timezone(timedelta(hours=3)))
    assert partition_key(late) == "2026-03-31"
    assert partition_key(None) == "unscheduled"
