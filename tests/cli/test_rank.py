"""``lightchallenge rank``: a total order over given scores, and lines that have no place in it."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from lightchallenge_dagster.cli import cli

AT = datetime(2026, 3, 2, 8, tzinfo=UTC)


def rank(lines: str | bytes, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["rank", *arguments], input=lines)


def line(subject: str, score: Any, at: Any = "2026-03-02T08:00:00Z", **more: Any) -> str:
    row = {"challenge_id": 7, "subject": subject, "score": score, "created_at": at, **more}
    return json.dumps(row) + "\n"


def order(result: Result) -> list[tuple[Any, ...]]:
    rows = [json.loads(text) for text in result.stdout.splitlines()]
    return [(row["challenge_id"], row["subject"], row["rank"], row["winner"]) for row in rows]


def test_the_best_score_wins_and_every_field_is_kept() -> None:
    result = rank(line("0xA", 5, note="é") + line("0xB", 9.5, extra={"x": [0.1]}))
    assert result.exit_code == 0
    first, second = (json.loads(text) for text in result.stdout.splitlines())
    assert first == {
        "challenge_id": 7,
        "subject": "0xb",
        "score": 9.5,
        "created_at": "2026-03-02T08:00:00Z",
        "extra": {"x": [0.1]},
        "rank": 1,
        "winner": True,
    }
    assert (second["note"], second["rank"], second["winner"]) == ("é", 2, False)


def test_challenges_are_ranked_by_themselves_and_come_out_in_order() -> None:
    lines = [line("0xa", 5, challenge_id=9), line("0xb", 1), line("0xc", 7, challenge_id=9)]
    assert order(rank("".join(lines), "--top-n", "1")) == [
        (7, "0xb", 1, True),
        (9, "0xc", 1, True),
        (9, "0xa", 2, False),
    ]


def test_top_n_with_a_score_above_0_win_and_rows_without_a_score_come_last() -> None:
    lines = line("0xa", None) + line("0xb", 0) + line("0xc", 3) + line("0xd", -1)
    assert order(rank(lines, "--top-n", "5")) == [
        (7, "0xc", 1, True),
        (7, "0xb", 2, False),
        (7, "0xd", 3, False),
        (7, "0xa", 4, False),
    ]


@pytest.mark.parametrize(
    "earlier",
    [
        "2026-03-02T07:59:59.999999",
        "2026-03-02T08:59:59+01:00",
        "2026-03-02",
        int(AT.timestamp()) - 1,
        AT.timestamp() - 0.5,
        int(AT.timestamp() * 1000) - 1,
    ],
)
def test_a_tie_goes_to_the_earlier_submission_however_its_time_is_written(earlier: Any) -> None:
    lines = line("0xa", 5, "2026-03-02T08:00:00") + line("0xb", 5, earlier)
    assert [row[1] for row in order(rank(lines))] == ["0xb", "0xa"]


def test_a_tie_at_the_same_moment_goes_to_the_smaller_wallet() -> None:
    lines = line("0xB", 5, int(AT.timestamp())) + line("0xa", 5, AT.timestamp() * 1000)
    assert [row[1] for row in order(rank(lines))] == ["0xa", "0xb"]


def test_scores_are_compared_and_written_exactly() -> None:
    numbers = [
        "0.1",
        "0.1000000000000000000000000001",
        "123456789012345678901234567890.5",
        "1E+400",
    ]
    lines = "".join(
        line(f"0x{index}", None).replace("null", number) for index, number in enumerate(numbers)
    )
    result = rank(lines)
    assert [row[1] for row in order(result)] == ["0x3", "0x2", "0x1", "0x0"]
    assert [text.split('"score":')[1].split(",")[0] for text in result.stdout.splitlines()] == (
        numbers[::-1]
    )


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (line("0xc", float("nan")), "score NaN is not a finite number"),
        (line("0xc", float("inf")), "score Infinity is not a finite number"),
        (line("0xc", float("-inf")), "score -Infinity is not a finite number"),
        (line("0xc", "12"), 'score "12" is not a number; write it without quotes'),
        (line("0xc", True), "score true is not a number"),
        (line("0xc", [1]), "score [1] is not a number"),
        (line("0xc", None).replace("null", "1e" + "9" * 30), "out of all bounds"),
        ('{"challenge_id": 7, "score": 1, "created_at": 1}', "subject is missing"),
        (line("", 1), 'subject "" is not a wallet'),
        (line("0xc", 1, None), "created_at is missing"),
        (line("0xc", 1, "yesterday"), 'created_at "yesterday" is no time'),
        (line("0xc", 1, True), "created_at true is no time"),
        (line("0xc", 1, 10**300), "is no time"),
        (line("0xc", 1, challenge_id="7"), 'challenge_id "7" is not a whole number'),
        (line("0xc", 1, challenge_id=7.5), "is not a whole number"),
        (line("0xc", 1, challenge_id=2**63), "is out of range"),
        (line("0xA", 2), "subject 0xa is in challenge 7 twice, first on line 1"),
        (line("0xc", 1, note=[float("nan")]), "note holds NaN"),
        (line("0xc", 1, note="\ud800"), "half a character"),
        ("nonsense", "is not JSON"),
        ("[" * 100_000, "nested deeper"),
    ],
)
def test_a_bad_line_is_named_and_the_others_are_ranked(bad: str, says: str) -> None:
    result = rank(line("0xa", 1) + bad.strip() + "\n" + line("0xb", 3))
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert order(result) == [(7, "0xb", 1, True), (7, "0xa", 2, False)]
    assert result.stderr.startswith("line 2: ")
    assert says in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("top_n", ["0", "-1", "two", str(2**31)])
def test_top_n_must_be_positive(top_n: str) -> None:
    result = rank(line("0xa", 1), "--top-n", top_n)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--top-n" in result.stderr


_SCORES = st.none() | st.sampled_from(
    ["0", "1", "1.0", "2.5", "-3", "0.1", "0.10000000000000000001"]
)
_TIMES = st.integers(0, 3).map(lambda seconds: (AT + timedelta(seconds=seconds)).isoformat())


@st.composite
def _shuffled(draw: st.DrawFn) -> tuple[list[str], list[str], int]:
    wallets = draw(st.lists(st.integers(0, 30), unique=True, min_size=1, max_size=12))
    lines = [
        line(f"0x{wallet:02x}", None, draw(_TIMES), challenge_id=draw(st.integers(1, 2))).replace(
            "null", draw(_SCORES) or "null", 1
        )
        for wallet in wallets
    ]
    return lines, draw(st.permutations(lines)), draw(st.integers(1, 5))


@settings(deadline=None, max_examples=80)
@given(_shuffled())
def test_the_order_of_the_lines_does_not_matter(given: tuple[list[str], list[str], int]) -> None:
    lines, shuffled, top_n = given
    first = rank("".join(lines), "--top-n", str(top_n))
    assert first.exit_code == 0
    assert first.stdout == rank("".join(shuffled), "--top-n", str(top_n)).stdout
    rows = [json.loads(text, parse_float=Decimal) for text in first.stdout.splitlines()]
    for challenge_id in {row["challenge_id"] for row in rows}:
        of_it = [row for row in rows if row["challenge_id"] == challenge_id]
        assert [row["rank"] for row in of_it] == list(range(1, len(of_it) + 1))
        positive = sum(row["score"] is not None and row["score"] > 0 for row in of_it)
        assert sum(row["winner"] for row in of_it) == min(top_n, positive)


def test_ranking_a_ranking_again_changes_nothing() -> None:
    once = rank(line("0xa", 5) + line("0xb", 9)).stdout
    assert rank(once).stdout == once


def test_it_needs_no_setting_and_no_broken_env_file_stops_it(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"DATABASE_URL=\xff\n")
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lightchallenge"), "rank", "-"],
        input=line("0xa", 5).encode(),
        cwd=tmp_path,
        env={},
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["winner"] is True


def test_no_input_is_no_output() -> None:
    assert (rank("").exit_code, rank("").stdout) == (0, "")
