"""``lightchallenge``: the same steps from a terminal, with one-line errors.

One module a command. They import what they need when they run, so that each starts quickly.
"""

from __future__ import annotations

import click

from lightchallenge_dagster.cli import (
    evaluate,
    explain,
    health,
    migrate,
    rank,
    run,
    set_checkpoint,
    settings,
)
from lightchallenge_dagster.cli.surroundings import OneLineErrors

__all__ = ["cli", "main"]


@click.group(cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lightchallenge-dagster")
def cli() -> None:
    """The LightChallenge pipeline from a terminal.

    evaluate and rank read only their input; the others read .env in the working folder too.

    \b
    Examples:
      lightchallenge migrate
      lightchallenge health
      lightchallenge run settle_winners --dry-run
      lightchallenge explain 42 0x52908400098527886e0f7030069857d2e4169ee7
      lightchallenge evaluate evidence.jsonl
    """


for _module in (migrate, settings, health, run, set_checkpoint, explain, evaluate, rank):
    cli.add_command(_module.command)


def main() -> None:
    """The console script's entry point."""
    cli()
