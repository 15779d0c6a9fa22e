"""The engine: how this package reaches PostgreSQL."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError

from lightchallenge_dagster.errors import PermanentError

_INTEGER_DIGITS = 400  # Python refuses to read an integer of more than 4,300


def connect(url: str, *, pool_size: int = 5) -> Engine:
    """An engine on psycopg 3 for a ``DATABASE_URL`` as the web app writes it.

    A bare ``postgres://`` or ``postgresql://`` gets the driver named, because SQLAlchemy's default
    differs between versions. Prepared statements are off: a transaction pooler (Neon) loses them.
    Raises ``PermanentError`` for a URL that cannot be read, without repeating it.
    """
    try:
        parsed = make_url(url.strip())
        (parsed.host or "").encode("idna")
    except (ArgumentError, ValueError):
        # Not chained: where a password holds an "@" or ":", the error quotes a part of it.
        parsed = None
    if (
        parsed is None
        or "\0" in f"{parsed.username}{parsed.password}{parsed.host}{parsed.database}"
    ):
        raise PermanentError(
            "DATABASE_URL is not a database URL; expected postgresql://user:password@host/name, "
            "with @ : / ? # and % in user and password written as %40 %3A %2F %3F %23 %25"
        )
    if parsed.drivername in {"postgres", "postgresql", "postgresql+psycopg2"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername != "postgresql+psycopg":
        raise PermanentError(
            f"DATABASE_URL names the driver {parsed.drivername!r}; only PostgreSQL is supported"
        )
    return create_engine(
        parsed,
        pool_size=pool_size,
        max_overflow=5,
        pool_pre_ping=True,
        connect_args={"prepare_threshold": None, "application_name": "lightchallenge-dagster"},
        json_deserializer=json_value,
    )


def json_value(text: str | bytes) -> Any:
    """What a ``jsonb`` column holds.

    Two things that PostgreSQL keeps and Python's parser refuses must not stop the rows around them:
    an integer of thousands of digits becomes a ``Decimal``, and a value nested too deeply stays the
    text that it is, so that whoever reads the column says what is wrong with that row.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(text, parse_int=_integer)
    except (ValueError, RecursionError):
        return text if isinstance(text, str) else text.decode()


def _integer(digits: str) -> int | Decimal:
    return int(digits) if len(digits) <= _INTEGER_DIGITS else Decimal(digits)
