"""What a command may expect around it: one-line errors, and for most the deployment's settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lightchallenge_dagster.errors import LightChallengeError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from lightchallenge_dagster.settings import Settings


class OneLineErrors(click.Group):
    """Turns expected errors into one line on standard error and exit status 1."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; tracebacks are for defects only."""
        try:
            return super().invoke(ctx)
        except LightChallengeError as error:
            lines = [printable(line) for line in str(error).splitlines()]
            raise click.ClickException("\n".join(lines)) from None


def printable(text: str) -> str:
    """Text of anybody's without what would move a terminal's cursor."""
    return "".join(letter if letter.isprintable() else "·" for letter in text)


class DeploymentCommand(click.Command):
    """A command that works on a deployment: reads ``.env`` first, and may use its database.

    As for Dagster, what ``.env`` says wins over the process's own environment: both work on the
    same database and chain. Commands that only read their input are plain ones, so that no setting
    can stop them.
    """

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; what the database refuses is one line."""
        from sqlalchemy.exc import DBAPIError

        _read_env_file()
        try:
            return super().invoke(ctx)
        except DBAPIError as error:
            # The driver's first line names the problem; it holds the host, never the password.
            lines = str(error.orig).strip().splitlines()
            reason = lines[0] if lines else type(error.orig).__name__
            # Without a statement there was no connection.
            advice = "; check DATABASE_URL" if error.statement is None else ""
            raise click.ClickException(
                f"the database refused: {printable(reason)}{advice}"
            ) from None


def engine(loaded: Settings) -> Engine:
    """An engine on ``DATABASE_URL``. Raises ``SettingsError`` when it is not set."""
    from lightchallenge_dagster.storage.database import connect

    return connect(loaded.need("database_url"))


def _read_env_file() -> None:
    from dotenv import load_dotenv

    path = Path.cwd() / ".env"
    try:
        load_dotenv(path, override=True)
    except (OSError, UnicodeError) as error:
        # Its text may quote the file, and the file holds secrets.
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise click.ClickException(f"{path} cannot be read: {reason}") from None
