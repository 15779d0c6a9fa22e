"""The pipeline's database as a resource."""

from __future__ import annotations

from functools import lru_cache

from dagster import ConfigurableResource
from sqlalchemy import Engine

from lightchallenge_dagster.settings import SettingsError
from lightchallenge_dagster.storage.database import connect

_connect = lru_cache(maxsize=4)(connect)


class DatabaseResource(ConfigurableResource):  # pyright: ignore[reportMissingTypeArgument]
    """PostgreSQL behind ``DATABASE_URL``. One engine a process: ticks reuse its connections."""

    url: str | None = None

    def engine(self) -> Engine:
        """Raises ``SettingsError`` when ``DATABASE_URL`` is not set."""
        if not self.url:
            raise SettingsError("DATABASE_URL is not set; see docs/configuration.md")
        return _connect(self.url)
