"""``lightchallenge run``: a job from a terminal, its run in the UI as well."""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from lightchallenge_dagster.cli import surroundings
from lightchallenge_dagster.cli.surroundings import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dagster import DagsterEvent, DagsterInstance, ExecuteInProcessResult, JobDefinition
    from rich.console import Console

#: Dagster's log says everything twice, and a failure as a traceback: what matters is shown after.
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

#: Columns of a table that goes to a file or a pipe: wallets and hashes stay in one piece.
_WIDTH_OF_A_FILE = 220


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
    the run is in the UI too. Exit status 1 when it fails.

    \b
    Examples:
      lightchallenge run
      lightchallenge run settle_winners --dry-run
      lightchallenge run run_aivm_job challenge_id=42
      lightchallenge run reset_stuck_jobs challenge_ids=[7,9] --no-dry-run
    """
    from lightchallenge_dagster.definitions import build_defs

    repository = build_defs().get_repository_def()
    jobs = {one.name: one for one in repository.get_all_jobs() if not _is_hidden(one)}
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
    config = _config(job, values, dry_run)
    with _instance() as instance:
        result = _execute(job, instance, config)
        _show(result, instance)
    sys.exit(0 if result.success else 1)


def _is_hidden(job: JobDefinition) -> bool:
    return job.name.startswith("__")


def _list(jobs: Mapping[str, JobDefinition]) -> None:
    console = _console()
    for name, job in sorted(jobs.items()):
        fields = ", ".join(sorted(_fields(job)))
        console.print(f"[bold]{name}[/bold]" + (f"  ({fields})" if fields else ""), highlight=False)
        console.print(f"  {' '.join((job.description or '').split())}", highlight=False)


# ── Run config ──────────────────────────────────────────────────────────────────────────────


def _fields(job: JobDefinition) -> dict[str, dict[str, Any]]:
    """By name of a field, the ops of the job whose config has it, with what it is there."""
    found: dict[str, dict[str, Any]] = {}
    for node in job.nodes:
        config: Any = getattr(node.definition, "config_schema", None)
        fields: dict[str, Any] = getattr(config.config_type if config else None, "fields", {})
        for name, field in fields.items():
            found.setdefault(name, {})[node.name] = field
    return found


def _config(job: JobDefinition, values: Sequence[str], dry_run: bool | None) -> dict[str, Any]:
    """The run config. Raises ``UsageError`` for what the job does not take."""
    from dagster import DagsterInvalidConfigError, validate_run_config

    wanted = dict(_pair(value) for value in values)
    if dry_run is not None:
        wanted["dry_run"] = dry_run
    fields = _fields(job)
    ops: dict[str, Any] = {}
    for name, value in wanted.items():
        if name not in fields:
            known = ", ".join(sorted(fields)) or "no field at all"
            raise click.UsageError(f"{job.name} has no field {printable(name)!r}; it has {known}")
        for op in fields[name]:
            ops.setdefault(op, {"config": {}})["config"][name] = value
    for name, places in fields.items():
        if name not in wanted and any(field.is_required for field in places.values()):
            raise click.UsageError(f"{job.name} needs {name}=VALUE")
    config: dict[str, Any] = {"ops": ops} if ops else {}
    try:
        validate_run_config(job, config)
    except DagsterInvalidConfigError as error:
        reasons = "; ".join(" ".join(one.message.split()) for one in error.errors)
        raise click.UsageError(printable(reasons)) from None
    return config


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.UsageError(f"{printable(text)!r} is not NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


# ── Running ─────────────────────────────────────────────────────────────────────────────────


def _instance() -> DagsterInstance:
    from dagster import DagsterInstance

    if os.environ.get("DAGSTER_HOME"):
        return DagsterInstance.get()
    click.echo("DAGSTER_HOME is not set: this run will be in no UI", err=True)
    return DagsterInstance.ephemeral()  # pyright: ignore[reportUnknownMemberType]


def _execute(
    job: JobDefinition, instance: DagsterInstance, config: Mapping[str, Any]
) -> ExecuteInProcessResult:
    with _console(stderr=True).status(f"{job.name} is running"):
        return job.execute_in_process(
            run_config={**config, **_QUIET}, instance=instance, raise_on_error=False
        )


# ── What is shown ───────────────────────────────────────────────────────────────────────────


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=_WIDTH_OF_A_FILE)


def _show(result: ExecuteInProcessResult, instance: DagsterInstance) -> None:
    console = _console()
    outputs = [event for event in result.all_events if event.is_successful_output]
    for event in outputs:
        if len(outputs) > 1:
            console.print(f"[dim]{event.step_key}[/dim]", highlight=False)
        _show_metadata(console, event.step_output_data.metadata)
    for warning in _warnings(instance, result.run_id):
        click.echo(f"! {printable(warning)}", err=True)
    for event in result.all_events:
        if event.is_step_failure or event.is_failure:
            click.echo(f"Error: {printable(_reason(event))}", err=True)
            break
    state = "done" if result.success else "failed"
    click.echo(f"run {result.run_id}: {state}", err=True)


def _show_metadata(console: Console, metadata: Mapping[str, Any]) -> None:
    from dagster import MarkdownMetadataValue
    from rich.markdown import Markdown
    from rich.text import Text

    for name, entry in metadata.items():
        label = Text(name, style="bold")
        if isinstance(entry, MarkdownMetadataValue):
            console.print(label)
            console.print(Markdown(entry.value, hyperlinks=False))
        else:
            value = entry.value
            shown = value if isinstance(value, str) else json.dumps(value, default=str)
            console.print(label + Text(f": {printable(shown)}", style="not bold"))


def _warnings(instance: DagsterInstance, run_id: str) -> Iterator[str]:
    for entry in instance.all_logs(run_id):
        if not entry.is_dagster_event and entry.level == logging.WARNING:
            yield entry.user_message


def _reason(event: DagsterEvent) -> str:
    """The error that began it, without the lines of code it came through."""
    error = event.step_failure_data.error if event.is_step_failure else None
    if error is None:
        return event.message or "the run failed"
    while error.cause is not None:
        error = error.cause
    reason = " ".join(error.message.split())
    return reason.partition(": ")[2] if reason.startswith("lightchallenge_dagster.") else reason
