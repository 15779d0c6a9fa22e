"""The migration runner, on new and on existing databases."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from lightchallenge_dagster.storage.database import connect
from lightchallenge_dagster.storage.migrate import (
    Migration,
    MigrationError,
    migrate,
    pending,
    shipped,
)

EXISTING = Path(__file__).with_name("existing.sql").read_text()


@pytest.fixture
def empty(empty_database_url: str) -> Iterator[Engine]:
    engine = connect(empty_database_url)
    yield engine
    engine.dispose()


def names(engine: Engine, query: str) -> set[str]:
    with engine.connect() as connection:
        return set(connection.execute(text(query)).scalars())


def fingerprint(engine: Engine) -> set[str]:
    """Every column, index and constraint of the database."""
    return names(
        engine,
        "select concat_ws(' ', table_schema, table_name, column_name, data_type, is_nullable,"
        " column_default) from information_schema.columns"
        " where table_schema in ('public', 'pipeline')"
        " union all select indexdef from pg_indexes where schemaname in ('public', 'pipeline')"
        " union all select conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)"
        " from pg_constraint where connamespace in ('public'::regnamespace)",
    )


def test_every_file_is_applied_once_in_order_and_recorded(empty: Engine) -> None:
    lines: list[str] = []
    files = [migration.filename for migration in shipped()]
    assert pending(empty) == files
    first = migrate(empty, report=lines.append)
    assert list(first.applied) == files == sorted(files)
    assert [line.split()[-1] for line in lines] == files
    assert names(empty, "select filename from schema_migrations") == set(files)
    before = fingerprint(empty)

    second = migrate(empty)
    assert second.applied == ()
    assert list(second.skipped) == files
    assert pending(empty) == []
    assert fingerprint(empty) == before


def test_no_file_is_named_like_one_of_the_web_apps() -> None:
    numbers = [int(migration.filename.split("_")[0]) for migration in shipped()]
    assert min(numbers) >= 500
    assert len(set(numbers)) == len(numbers)


def test_every_file_can_run_again_without_its_ledger_row(database: Engine) -> None:
    # The web app's fallback runner keeps no ledger.
    before = fingerprint(database)
    with database.begin() as connection:
        connection.execute(text("delete from schema_migrations"))
    assert len(migrate(database).applied) == len(shipped())
    assert fingerprint(database) == before


def test_a_failing_file_leaves_nothing_and_is_named_with_its_line(empty: Engine) -> None:
    good = Migration("900_good.sql", "create table good (id int)")
    bad = Migration(
        "901_bad.sql",
        "create table half_done (id int);\n-- 100% of ':this' is a comment\n"
        "insert into no_such_table values (1);\n",
    )
    later = Migration("902_later.sql", "create table later (id int)")
    with pytest.raises(MigrationError, match=r"901_bad\.sql, line 3: .*no_such_table"):
        migrate(empty, migrations=[good, bad, later])
    assert names(empty, "select filename from schema_migrations") == {"900_good.sql"}
    tables = names(empty, "select tablename from pg_tables where schemaname = 'public'")
    assert tables == {"good", "schema_migrations"}

    mended = Migration(bad.filename, "create table half_done (id int)")
    report = migrate(empty, migrations=[good, mended, later])
    assert report.skipped == ("900_good.sql",)
    assert report.applied == ("901_bad.sql", "902_later.sql")


def test_two_runners_at_once_apply_each_file_once(empty_database_url: str) -> None:
    engines = [connect(empty_database_url) for _ in range(3)]
    gate = threading.Barrier(len(engines))

    def run(engine: Engine) -> tuple[str, ...]:
        gate.wait()
        return migrate(engine).applied

    with ThreadPoolExecutor(len(engines)) as pool:
        applied = [name for names in pool.map(run, engines) for name in names]
    assert sorted(applied) == [migration.filename for migration in shipped()]
    for engine in engines:
        engine.dispose()


def test_an_existing_database_is_adopted_with_its_rows_and_shape_intact(empty: Engine) -> None:
    with empty.begin() as connection:
        connection.exec_driver_sql(EXISTING)
    before = fingerprint(empty)
    tables = names(empty, "select tablename from pg_tables where schemaname = 'public'")
    rows = {table: contents(empty, table) for table in tables}
    assert all(rows.values())

    migrate(empty)

    after = fingerprint(empty)
    assert before <= after, "something that existed was changed"
    for table in tables - {"schema_migrations"}:
        known = contents(empty, table)
        for row, old in zip(known, rows[table], strict=True):
            assert {key: row[key] for key in old} == old
    # The web app's own files stay in the ledger beside ours.
    ledger = names(empty, "select filename from schema_migrations")
    assert ledger == {"001_evidence.sql", *(migration.filename for migration in shipped())}


def test_an_existing_database_gets_what_later_versions_of_the_guide_brought(empty: Engine) -> None:
    with empty.begin() as connection:
        connection.exec_driver_sql(EXISTING)
    migrate(empty)
    columns = names(
        empty,
        "select table_name || '.' || column_name from information_schema.columns"
        " where table_schema = 'public'",
    )
    assert {
        "verdicts.score",
        "verdicts.metadata",
        "participants.source",
        "claims.metadata",
        "challenges.chain_outcome",
        "challenges.registry_status",
        "challenge_invites.accepted_by_wallet",
    } <= columns
    with empty.connect() as connection:
        joined = connection.execute(text("select source from participants")).scalars()
        assert set(joined) == {"unknown"}


def test_an_existing_index_of_another_name_is_not_made_again(empty: Engine) -> None:
    with empty.begin() as connection:
        connection.exec_driver_sql(EXISTING)
    migrate(empty)
    for table, keys in (
        ("participants", "(challenge_id, lower(subject))"),
        ("evidence", "(challenge_id)"),
        ("evidence", "(challenge_id, lower(subject))"),
        ("claims", "(challenge_id, lower(subject), claim_type)"),
        ("verdicts", "(challenge_id, subject)"),
    ):
        with empty.connect() as connection:
            same = connection.execute(
                text(
                    "select indexname from pg_indexes where schemaname = 'public'"
                    " and tablename = :table and split_part(indexdef, ' USING btree ', 2) = :keys"
                ),
                {"table": table, "keys": keys},
            ).all()
        assert len(same) == 1, (table, keys, same)


def contents(engine: Engine, table: str) -> list[dict[str, object]]:
    query = text(f"select * from public.{table} order by 1")  # noqa: S608
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


def test_tables_of_another_role_that_lack_nothing_are_adopted(database: Engine) -> None:
    """The web app's role owns its tables; ours may create in the database, and read and write."""
    role = f"pipeline_{database.url.database}"
    with database.begin() as connection:
        connection.execute(text("drop schema pipeline cascade"))
        connection.execute(text("drop table public.rankings"))
        connection.execute(text("delete from public.schema_migrations"))
        connection.execute(text(f"create role {role} login password '{role}'"))
        connection.execute(text(f"grant create, usage on schema public to {role}"))
        connection.execute(
            text(f"grant create, temporary on database {database.url.database} to {role}")
        )
        connection.execute(
            text(f"grant select, insert, update, delete on all tables in schema public to {role}")
        )
    ours = connect(
        database.url.set(username=role, password=role).render_as_string(hide_password=False)
    )
    try:
        assert len(migrate(ours).applied) == len(shipped())
        assert pending(ours) == []
        with database.begin() as connection:
            connection.execute(text("delete from public.schema_migrations"))
            connection.execute(text("alter table public.verdicts drop column score"))
        with pytest.raises(
            MigrationError, match=r"500_challenges\.sql.*must be owner of table verdicts"
        ):
            migrate(ours)
    finally:
        ours.dispose()
        with database.begin() as connection:
            connection.execute(text(f"drop owned by {role}"))
            connection.execute(text(f"drop role {role}"))


def test_wallets_that_an_old_database_holds_twice_are_named_by_the_migration(empty: Engine) -> None:
    with empty.begin() as connection:
        connection.execute(
            text(
                "create table participants (id bigserial, challenge_id bigint, subject text, "
                "tx_hash text, joined_at timestamptz, created_at timestamptz, "
                "updated_at timestamptz)"
            )
        )
        connection.execute(
            text("insert into participants (challenge_id, subject) values (7, '0xAB'), (7, '0xab')")
        )
    with pytest.raises(MigrationError, match=r"0xab.*duplicated") as caught:
        migrate(empty)
    assert "500_challenges.sql" in str(caught.value)
