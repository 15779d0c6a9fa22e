"""The engine: how this package reaches PostgreSQL."""

from __future__ import annotations

from sqlalchemy import Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError

from lightchallenge_dagster.errors import PermanentError


def connect(url: str, *, pool_size: int = 5) -> Engine:
    """An engine on psycopg 3 for a ``DATABASE_URL`` as the web app writes it.

    A bare ``postgres://`` or ``postgresql://`` gets the driver named, because SQLAlchemy's default
    differs between versions. Prepared statements are off: a transaction pooler (Neon) loses them.
    Raises ``PermanentError`` for a URL that cannot be read, without repeating it.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise PermanentError(
            "DATABASE_URL is not a database URL; expected postgresql://user:password@host/name"
        ) from error
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
    )
