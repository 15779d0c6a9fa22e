"""A migrated database holds the web app's tables exactly as its guide documents them."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from lightchallenge_dagster.devnet.processes import Postgres
from lightchallenge_dagster.storage.database import connect

GUIDE: dict[str, dict[str, Any]] = tomllib.loads(
    Path(__file__).with_name("guide_schema.toml").read_text()
)
OURS = {"schema_migrations", "rankings"}
TYPES = {
    "bigserial": "bigint",
    "timestamptz": "timestamp with time zone",
    "float": "double precision",
}
FACT = re.compile(
    r"(?P<type>\S+)(?P<pk> PK)?(?P<required> NOT NULL)?(?P<unique> UNIQUE)?"
    r"(?: DEFAULT (?P<default>.+?))?(?: -> (?P<target>\w+))?"
)

COLUMNS = text("""
    select a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
           pg_get_expr(d.adbin, d.adrelid)
    from pg_attribute a
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attrelid = cast(:name as regclass) and a.attnum > 0 and not a.attisdropped
""")
INDEXES = text("""
    select c.relname, i.indisprimary, i.indisunique,
           regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING btree ', '')
    from pg_index i join pg_class c on c.oid = i.indexrelid
    where i.indrelid = cast(:name as regclass) and i.indisvalid
""")
CONSTRAINTS = text("""
    select contype::text, pg_get_constraintdef(oid) from pg_constraint
    where conrelid = cast(:name as regclass) and contype in ('f', 'c')
""")


@pytest.fixture(scope="module")
def migrated(postgres: Postgres, migrated_template: str) -> Iterator[Engine]:
    """One migrated database for all tests here that only read."""
    engine = connect(postgres.create("schema", template=migrated_template))
    yield engine
    engine.dispose()
    postgres.drop("schema")


def fact(table: str, column: str) -> re.Match[str]:
    found = FACT.fullmatch(GUIDE[table]["columns"][column])
    assert found is not None, f"guide_schema.toml: {table}.{column} cannot be read"
    return found


def default_of(expression: str | None, kind: str) -> object:
    """A default as a value that can be compared: '{}'::jsonb and '{}' are the same."""
    if expression is None:
        return None
    literal = re.sub(r"::[a-z\[\] ]+$", "", expression)
    if kind == "jsonb":
        return json.loads(literal.strip("'"))
    if re.fullmatch(r"'?[0-9.]+'?", literal):
        return float(literal.strip("'"))
    return literal


def expected_columns(table: str) -> dict[str, tuple[str, bool, object]]:
    found: dict[str, tuple[str, bool, object]] = {}
    for column in GUIDE[table]["columns"]:
        said = fact(table, column)
        kind = TYPES.get(said["type"], said["type"])
        default = default_of(said["default"], kind)
        if said["type"] == "bigserial":
            default = f"nextval('{table}_{column}_seq'::regclass)"
        required = bool(said["pk"] or said["required"])
        found[column] = (kind, required, default)
    return found


def test_the_guide_has_33_tables_and_no_other_is_made(migrated: Engine) -> None:
    with migrated.connect() as connection:
        made = connection.execute(
            text("select tablename from pg_tables where schemaname = 'public'")
        ).scalars()
        assert set(made) - OURS == set(GUIDE)
    assert len(GUIDE) == 33


@pytest.mark.parametrize("table", sorted(GUIDE))
def test_a_table_has_the_documented_columns_and_no_others(migrated: Engine, table: str) -> None:
    with migrated.connect() as connection:
        rows = connection.execute(COLUMNS, {"name": f"public.{table}"}).all()
    made = {
        name: (kind, required, default_of(default, kind)) for name, kind, required, default in rows
    }
    assert made == expected_columns(table)


@pytest.mark.parametrize("table", sorted(GUIDE))
def test_a_table_has_the_documented_keys_and_no_others(migrated: Engine, table: str) -> None:
    with migrated.connect() as connection:
        rows = connection.execute(INDEXES, {"name": f"public.{table}"}).all()
        constraints = connection.execute(CONSTRAINTS, {"name": f"public.{table}"}).all()

    guide = GUIDE[table]
    single = {column: fact(table, column) for column in guide["columns"]}
    primary = guide.get("primary_key") or next(f"({c})" for c, said in single.items() if said["pk"])
    unique = {*guide.get("unique", ()), *(f"({c})" for c, s in single.items() if s["unique"])}
    assert {keys for _, is_primary, _, keys in rows if is_primary} == {primary}
    assert {keys for _, is_primary, uq, keys in rows if uq and not is_primary} == unique
    plain = [keys for _, _, uq, keys in rows if not uq]
    assert sorted(plain) == sorted(guide.get("indexes", ()))
    assert {name for name, *_ in rows} >= set(guide.get("names", ()))

    references = {
        f"FOREIGN KEY ({column}) REFERENCES {said['target']}(id)"
        for column, said in single.items()
        if said["target"]
    }
    assert {definition for kind, definition in constraints if kind == "f"} == references
    assert len([kind for kind, _ in constraints if kind == "c"]) == guide.get("checks", 0)


def test_an_achievement_is_a_completion_or_a_victory(database: Engine) -> None:
    statement = text(
        "insert into achievement_mints (token_id, challenge_id, recipient, achievement_type)"
        " values (:token, 1, '0xab', :kind)"
    )
    with database.begin() as connection:
        for token, kind in enumerate(("completion", "victory")):
            connection.execute(statement, {"token": token, "kind": kind})
    with pytest.raises(Exception, match="achievement_type_check"), database.begin() as connection:
        connection.execute(statement, {"token": 9, "kind": "attendance"})
