"""Frames and tables: what goes there comes back, and what the server refuses is an error."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import polars as pl
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from lightchallenge_dagster.storage import frames

SCHEMA: dict[str, Any] = {"number": pl.Int64, "words": pl.String, "flag": pl.Boolean}
words = st.none() | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.none() | st.integers(-(2**63), 2**63 - 1), words, st.booleans())))
def test_what_is_written_comes_back_null_and_empty_text_apart(
    database: Engine, rows: list[tuple[int | None, str | None, bool]]
) -> None:
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    with database.begin() as connection:
        connection.execute(
            text(
                "create temporary table t (number bigint, words text, flag boolean) on commit drop"
            )
        )
        assert frames.write(connection, "t", frame) == len(rows)
        stored = connection.execute(text("select number, words, flag from t")).all()
        query = "select number, words, flag::int from t where words is not null or :all"
        again = frames.read(connection, query, {"all": True}, SCHEMA | {"flag": pl.Int8})
    assert sorted(map(repr, map(tuple, stored))) == sorted(map(repr, rows))
    key = ["number", "words", "flag"]
    assert again.with_columns(pl.col("flag").cast(pl.Boolean)).sort(key).equals(frame.sort(key))


def test_times_keep_their_microseconds(database: Engine) -> None:
    moment = datetime(2026, 3, 1, 12, 30, 15, 123456, UTC)
    frame = pl.DataFrame({"at": [moment, None]}, schema={"at": pl.Datetime("us", "UTC")})
    with database.begin() as connection:
        connection.execute(text("create temporary table t (at timestamptz) on commit drop"))
        frames.write(connection, "t", frame)
        assert connection.execute(text("select at from t")).scalars().all() == [moment, None]


def test_a_query_that_fails_raises_and_leaves_a_connection_that_works(database: Engine) -> None:
    with database.connect() as connection:
        with pytest.raises(psycopg.errors.UndefinedColumn, match="nowhere"):
            frames.read(connection, "select nowhere from public.verdicts", {}, SCHEMA)
        connection.rollback()
        # Fails while rows are on their way.
        late = "select g / (500 - g), 'x', 1 from generate_series(1, 1000) g"
        with pytest.raises(psycopg.errors.DivisionByZero):
            frames.read(connection, late, {}, SCHEMA)
        connection.rollback()
        assert connection.execute(text("select 1")).scalar_one() == 1


def test_parameters_are_values_and_never_sql(database: Engine) -> None:
    hostile = "'; drop table public.verdicts; --"
    with database.begin() as connection:
        query = "select 1, cast(:words as text), 1"
        frame = frames.read(connection, query, {"words": hostile}, SCHEMA | {"flag": pl.Int8})
    assert frame["words"].to_list() == [hostile]


def test_joining_whole_ends_with_its_block(database: Engine) -> None:
    with database.begin() as connection:
        with frames.joined_whole(connection):
            assert connection.execute(text("show enable_nestloop")).scalar_one() == "off"
        assert connection.execute(text("show enable_nestloop")).scalar_one() == "on"
