"""Reputation follows the mints, both ways, and writes only what differs."""

from __future__ import annotations

from sqlalchemy import Engine

from lightchallenge_dagster.rules.reputation import POINTS
from lightchallenge_dagster.steps import reputation
from lightchallenge_dagster.steps.reputation import ReputationReport
from tests import builders as build
from tests.builders import wallet

A, B, C = wallet(0xA), wallet(0xB), wallet(0xC)


def table(database: Engine) -> list[tuple[object, ...]]:
    return build.rows(
        database,
        "select subject, points, level, completions, victories from public.reputation order by 1",
    )


def test_mints_become_points_and_a_level_and_then_nothing_is_pending(database: Engine) -> None:
    build.mint(database, 1, A)
    build.mint(database, 2, A.upper().replace("0X", "0x"), "victory")
    build.mint(database, 3, B)
    assert reputation.pending(database) == 2
    assert reputation.compute(database) == ReputationReport(mints=3, wallets=2, inserted=2)
    assert table(database) == [(A, 200, 2, 1, 1), (B, 50, 1, 1, 0)]
    assert reputation.pending(database) == 0


def test_computing_again_writes_no_row(database: Engine) -> None:
    build.mint(database, 1, A)
    reputation.compute(database)
    before = build.rows(database, "select xmin::text, * from public.reputation")
    assert reputation.compute(database) == ReputationReport(mints=1, wallets=1, unchanged=1)
    assert build.rows(database, "select xmin::text, * from public.reputation") == before


def test_mints_that_a_reorg_took_back_take_their_points_along(database: Engine) -> None:
    build.mint(database, 1, A, "victory")
    build.mint(database, 2, A)
    build.mint(database, 3, B)
    build.mint(database, 4, C)
    reputation.compute(database)
    build.execute(database, "delete from public.achievement_mints where token_id in (1, 3)")
    assert reputation.pending(database) == 2
    report = reputation.compute(database)
    assert (report.changed, report.removed, report.unchanged) == (1, 1, 1)
    assert table(database) == [(A, 50, 1, 1, 0), (C, 50, 1, 1, 0)]
    assert reputation.pending(database) == 0


def test_a_row_that_someone_edited_is_put_right(database: Engine) -> None:
    build.mint(database, 1, A)
    reputation.compute(database)
    build.execute(database, "update public.reputation set level = 5")
    assert reputation.pending(database) == 1
    assert reputation.compute(database).changed == 1
    assert table(database) == [(A, 50, 1, 1, 0)]


def test_all_fourteen_types_of_an_existing_database_count_and_unknown_ones_are_reported(
    database: Engine,
) -> None:
    build.execute(
        database,
        "alter table public.achievement_mints"
        " drop constraint achievement_mints_achievement_type_check",
    )
    for number, kind in enumerate([*POINTS, "mystery"], start=1):
        build.mint(database, number, A, kind)
    report = reputation.compute(database)
    assert (report.mints, report.unknown) == (15, 1)
    assert table(database) == [(A, sum(POINTS.values()), 4, 1, 1)]
    assert reputation.pending(database) == 0


def test_every_level_is_the_same_to_the_sensor_and_to_the_rule(database: Engine) -> None:
    number = 0
    for holder, mints in enumerate((1, 2, 5, 6, 15, 16, 39, 40, 41), start=1):
        for _ in range(mints):
            number += 1
            build.mint(database, number, wallet(holder))
    reputation.compute(database)
    assert [row[2] for row in table(database)] == [1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert reputation.pending(database) == 0
