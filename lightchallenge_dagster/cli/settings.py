"""``lightchallenge settings``."""

from __future__ import annotations

import os

import click

from lightchallenge_dagster.cli import surroundings


@click.command("settings", cls=surroundings.DeploymentCommand)
def command() -> None:
    """Show every variable that is read, what it is set to, and which ones mean nothing here.

    Secrets are shown as set or not set, never by value.
    """
    from pydantic import SecretStr

    from lightchallenge_dagster.settings import NOT_USED, Settings, variable_in_use, variables

    loaded = Settings.load()
    for field in Settings.model_fields:
        names = variables(field)
        value = getattr(loaded, field)
        used = variable_in_use(field)
        if isinstance(value, SecretStr):
            shown = "(set)"
        elif value is None or value == "":
            shown = "(not set)"
        else:
            shown = str(value)
        click.echo(f"{used or names[0]:44} {shown}{'' if used else '  (default)'}")
    for name, reason in NOT_USED.items():
        if os.environ.get(name):
            click.echo(f"{name:44} is set and not used: {reason}")
