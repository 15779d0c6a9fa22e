"""``lightchallenge``: the same steps from a terminal, with one-line errors."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import click
from dotenv import load_dotenv
from pydantic import SecretStr
from sqlalchemy.exc import DBAPIError

from lightchallenge_dagster.errors import LightChallengeError
from lightchallenge_dagster.settings import NOT_USED, Settings, variable_in_use, variables

if TYPE_CHECKING:
    from sqlalchemy import Engine


class OneLineErrors(click.Group):
    """Turns expected errors into one line on standard error and exit status 1."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; tracebacks are for defects only."""
        try:
            return super().invoke(ctx)
        except LightChallengeError as error:
            raise click.ClickException(str(error)) from None
        except DBAPIError as error:
            # The driver's first line names the problem; it holds the host, never the password.
            lines = str(error.orig).strip().splitlines()
            reason = lines[0] if lines else type(error.orig).__name__
            raise click.ClickException(f"the database refused: {reason}") from None


@click.group(cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lightchallenge-dagster")
def cli() -> None:
    """The LightChallenge pipeline from a terminal. Reads .env in the working folder.

    \b
    Examples:
      lightchallenge migrate
      lightchallenge settings
      lightchallenge health
    """
    try:
        load_dotenv(Path.cwd() / ".env")
    except (OSError, UnicodeError) as error:
        # Its text may quote the file, and the file holds secrets.
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise click.ClickException(f"{Path.cwd() / '.env'} cannot be read: {reason}") from None


@cli.command()
def migrate() -> None:
    """Bring the database's schema up to date; safe to run again.

    \b
    Example:
      DATABASE_URL=postgresql://user@localhost/lightchallenge lightchallenge migrate
    """
    from lightchallenge_dagster.storage.migrate import migrate as apply

    report = apply(_engine(Settings.load()))
    for name in report.applied:
        click.echo(f"applied  {name}")
    click.echo(f"{len(report.applied)} applied, {len(report.skipped)} were there already")


@cli.command()
def settings() -> None:
    """Show every variable that is read, what it is set to, and which ones mean nothing here.

    Secrets are shown as set or not set, never by value.
    """
    import os

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


@cli.command()
def health() -> None:
    """Evaluate every health check; exit status 1 when one is red.

    \b
    Example:
      lightchallenge health || page-somebody
    """
    from lightchallenge_dagster.checks.catalog import CHECKS, Surroundings
    from lightchallenge_dagster.definitions import resources
    from lightchallenge_dagster.sensors.health import find

    made = {
        name: resource.process_config_and_initialize() for name, resource in resources().items()
    }
    around = Surroundings(made["database"], made["chain"], made["signers"])
    red = 0
    for check in CHECKS:
        findings = find(check, around)
        mark = click.style("✓", fg="green") if findings.healthy else click.style("✗", fg="red")
        click.echo(f"{mark} {check.asset}.{check.name}: {check.description}")
        if not findings.healthy:
            red += 1
            for row in findings.rows:
                pairs = zip(findings.columns, row, strict=True)
                click.echo("    " + ", ".join(f"{name} {value}" for name, value in pairs))
            click.echo(f"    {check.recovery}")
    click.echo(f"{len(CHECKS) - red} green, {red} red")
    sys.exit(1 if red else 0)


@cli.command("set-checkpoint")
@click.option("--block", type=click.IntRange(min=0), help="The last block that counts as read.")
@click.option(
    "--look-back", type=click.IntRange(min=0), help="Blocks below the confirmed head, instead."
)
def set_checkpoint(block: int | None, look_back: int | None) -> None:
    """Seed the indexer, or set it back; by default STATUS_INDEXER_SEED_LOOKBACK blocks.

    What hangs above the block is undone, and read again by follow_chain. Going forward over
    blocks that were never read is refused.

    \b
    Examples:
      lightchallenge set-checkpoint
      lightchallenge set-checkpoint --look-back 100000
      lightchallenge set-checkpoint --block 4711000
    """
    from lightchallenge_dagster.definitions import resources
    from lightchallenge_dagster.jobs import lease
    from lightchallenge_dagster.jobs.chain import follow_lease
    from lightchallenge_dagster.steps import set_checkpoint as step

    loaded = Settings.load()
    engine = _engine(loaded)
    chain = resources(loaded)["chain"].process_config_and_initialize()
    if block is None and look_back is None:
        look_back = loaded.seed_lookback
    refused = report = None
    with lease.held(engine, follow_lease(chain.chain_id), f"cli {uuid4()}", {}):
        try:
            report = step.set_checkpoint(
                engine, chain.reader(), chain.index_policy(), block=block, look_back=look_back
            )
        except LightChallengeError as error:
            # Nothing was touched, so nobody has to wait for the lease to expire.
            refused = error
    if report is None:
        raise refused or AssertionError("either refused or done")
    click.echo(
        f"checkpoint {report.block} ({report.block_hash}), it was {report.before};"
        f" {report.undone_logs} logs undone, block {report.block + 1} is read next"
    )


def _engine(loaded: Settings) -> Engine:
    from lightchallenge_dagster.storage.database import connect

    return connect(loaded.need("database_url"))


def main() -> None:
    """The console script's entry point."""
    cli()
