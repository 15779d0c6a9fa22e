"""``lightchallenge run``: a job from a terminal, its run in the UI as well."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from lightchallenge_dagster.cli import run_config, surroundings
from lightchallenge_dagster.cli.surroundings import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dagster import DagsterInstance, ExecuteInProcessResult, JobDefinition

#: Dagster's log says everything twice, and a failure as a traceback: what matters is shown after.
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@click.command(
    "run", cls=surroundings.DeploymentCommand, short_help="Run a job here, and show what it found."
)
@click.argument("job_name", metavar="[JOB]", required=False)
@click.argument("values", nargs=-1, metavar="[NAME=VALUE]...")
@click.option(
    "--dry-run/--no-dry-run",
    default=None,
    help="Show what would be done, and take it back; or do it. Without either the job decides.",
)
def command(job_name: str | None, values: tuple[str, ...], dry_run: bool | None) -> None:
    """Run JOB in this process, and show what it found as tables.

    NAME=VALUE sets a field of its run config. Without JOB all jobs are listed. With DAGSTER_HOME
    the run is in the UI too. Exit status 1 when it fails, 130 when it is interrupted.

    \b
    Examples:
      lightchallenge run
      lightchallenge run settle_winners --dry-run
      lightchallenge run run_aivm_job challenge_id=42
      lightchallenge run reset_stuck_jobs challenge_ids=[7,9] --no-dry-run
    """
    jobs = _jobs()
    if job_name is None:
        _list(jobs)
        return
    if job_name not in jobs:
        raise click.UsageError(
            f"there is no job {printable(job_name)!r}; `lightchallenge run` lists them"
        )
    job = jobs[job_name]
    if job.partitions_def is not None:
        raise click.UsageError(
            f"{job_name} works on partitions: launch it in the UI, or with `dagster job backfill`"
        )
    wanted = [run_config.pair(value) for value in values]
    if dry_run is not None:
        wanted.append(("dry_run", dry_run))
    config = run_config.run_config(job, wanted)

    from lightchallenge_dagster.cli import run_result

    with _instance() as instance:
        status = run_result.show(_execute(job, instance, config), instance)
    sys.exit(status)


def _jobs() -> dict[str, JobDefinition]:
    from lightchallenge_dagster.definitions import build_defs

    jobs = build_defs().get_repository_def().get_all_jobs()
    return {job.name: job for job in jobs if not job.name.startswith("__")}


def _list(jobs: Mapping[str, JobDefinition]) -> None:
    for name, job in sorted(jobs.items()):
        takes = ", ".join(run_config.fields(job))
        click.echo(click.style(name, bold=True) + (f"  ({takes})" if takes else ""))
        click.echo(f"  {' '.join((job.description or '').split())}")


@contextmanager
def _instance() -> Generator[DagsterInstance]:
    """Dagster's own storage; what is wrong with it is one line."""
    from dagster import DagsterError, DagsterInstance
    from sqlalchemy.exc import SQLAlchemyError

    if not os.environ.get("DAGSTER_HOME"):
        click.echo("DAGSTER_HOME is not set: this run will be in no UI", err=True)
        with DagsterInstance.ephemeral() as instance:  # pyright: ignore[reportUnknownMemberType]
            yield instance
        return
    try:
        instance = DagsterInstance.get()
    except (DagsterError, SQLAlchemyError, OSError) as error:
        raise _unusable(error) from None
    with instance:
        try:
            yield instance
        except SQLAlchemyError as error:
            # A job's own trouble with its database ends its run, and is no exception here.
            raise _unusable(error) from None


def _unusable(error: Exception) -> click.ClickException:
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return click.ClickException(
        f"Dagster's own storage cannot be used: {printable(reason)}; check DAGSTER_HOME "
        f"({printable(os.environ['DAGSTER_HOME'])}) and DAGSTER_POSTGRES_URL"
    )


def _execute(
    job: JobDefinition, instance: DagsterInstance, config: Mapping[str, Any]
) -> ExecuteInProcessResult:
    from lightchallenge_dagster.cli import run_result

    said = f"{job.name} is running"
    page = run_result.console(stderr=True)
    if not page.is_terminal:
        click.echo(said, err=True)
    with page.status(said):
        return job.execute_in_process(
            run_config={**config, **_QUIET}, instance=instance, raise_on_error=False
        )
