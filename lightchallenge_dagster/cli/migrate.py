"""``lightchallenge migrate``."""

from __future__ import annotations

import click

from lightchallenge_dagster.cli import surroundings


@click.command("migrate", cls=surroundings.DeploymentCommand)
def command() -> None:
    """Bring the database's schema up to date; safe to run again.

    \b
    Example:
      DATABASE_URL=postgresql://user@localhost/lightchallenge lightchallenge migrate
    """
    from lightchallenge_dagster.settings import Settings
    from lightchallenge_dagster.storage.migrate import migrate

    report = migrate(surroundings.engine(Settings.load()))
    for name in report.applied:
        click.echo(f"applied  {name}")
    click.echo(f"{len(report.applied)} applied, {len(report.skipped)} were there already")
