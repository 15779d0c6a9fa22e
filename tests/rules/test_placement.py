"""Where a wallet stands, and what a tie was decided by."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from lightchallenge_dagster.rules.placement import Placed, lost_tie, neighbourhood, shown, tie_break

AT = datetime(2026, 3, 2, 8, tzinfo=UTC)


def placed(rank: int, score: str, seconds: float = 0, *, wins: bool = False) -> Placed:
    return Placed(f"0x{rank}", rank, Decimal(score), wins, AT + timedelta(seconds=seconds))


def test_equal_scores_are_decided_by_the_earlier_evidence() -> None:
    sentence = tie_break(placed(1, "9.50"), placed(2, "9.5", 90))
    assert sentence is not None
    assert "both have a score of 9.5" in sentence
    assert "0x1 submitted at 2026-03-02 08:00:00 UTC" in sentence
    assert "0:01:30 later" in sentence


def test_a_tie_within_the_second_shows_the_difference() -> None:
    sentence = tie_break(placed(1, "9"), placed(2, "9", 0.000001))
    assert sentence is not None
    assert "08:00:00.000001 UTC, 0.000001 s later" in sentence


def test_equal_times_are_decided_by_the_smaller_wallet() -> None:
    sentence = tie_break(placed(1, "9"), placed(2, "9"))
    assert sentence is not None
    assert sentence.endswith("the smaller wallet comes first.")


def test_different_scores_are_no_tie() -> None:
    assert tie_break(placed(1, "9.000000000000000000000000000000000001"), placed(2, "9")) is None


def test_the_neighbours_and_the_last_winner_are_named() -> None:
    rows = [placed(2, "9", wins=True), placed(4, "8"), placed(5, "7"), placed(6, "7", 5)]
    sentences = neighbourhood("0x5", rows)
    assert sentences[:3] == [
        "The last to win: rank 2, 0x2, score 9, wins.",
        "Just above: rank 4, 0x4, score 8.",
        "Just below: rank 6, 0x6, score 7.",
    ]
    assert "0x5 and 0x6 both have a score of 7" in sentences[3]


def test_a_tie_is_lost_to_the_last_winner_however_many_share_the_score() -> None:
    rows = [placed(1, "9", wins=True), placed(3, "9", 2)]
    lost = lost_tie("0x3", rows)
    assert lost is not None
    assert "0x1 submitted" in lost
    assert lost_tie("0x1", rows) is None
    assert lost_tie("0x3", [placed(1, "10", wins=True), placed(3, "9")]) is None


def test_a_score_is_shown_with_every_digit() -> None:
    assert shown(Decimal("1234567.000000000000000000000000000000010")) == (
        "1,234,567.00000000000000000000000000000001"
    )
    assert (shown(None), shown(Decimal("NaN")), shown(Decimal("1E+3"))) == ("none", "NaN", "1,000")
