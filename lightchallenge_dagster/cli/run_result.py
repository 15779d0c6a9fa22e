"""What a run found, on a terminal: its metadata, its warnings, and why it failed in one line."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.markdown import Markdown, TableElement
from rich.table import Table
from rich.text import Text

from lightchallenge_dagster.cli.surroundings import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from dagster import DagsterInstance, ExecuteInProcessResult
    from dagster_shared.error import SerializableErrorInfo
    from rich.console import ConsoleOptions, RenderResult

#: Columns of a table that goes to a file or a pipe: wallets and hashes stay in one piece.
_WIDTH_OF_A_FILE = 220

_OURS = "lightchallenge_dagster."
_INTERRUPTED = "dagster._core.errors.DagsterExecutionInterruptedError"


class _FoldedTable(TableElement):
    """A table that breaks a wallet over two lines rather than cut it."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for part in super().__rich_console__(console, options):
            if isinstance(part, Table):
                for column in part.columns:
                    column.overflow = "fold"
            yield part


class _Markdown(Markdown):
    elements = {**Markdown.elements, "table_open": _FoldedTable}  # noqa: RUF012 — as in rich


def console(*, stderr: bool = False) -> Console:
    """A console as wide as the terminal, or as a file may be."""
    made = Console(stderr=stderr)
    return made if made.is_terminal else Console(stderr=stderr, width=_WIDTH_OF_A_FILE)


def show(result: ExecuteInProcessResult, instance: DagsterInstance) -> int:
    """Show what a run found; the exit status: 0, 1 when it failed, 130 when it was interrupted."""
    page = console()
    outputs = [event for event in result.all_events if event.is_successful_output]
    for event in outputs:
        if len(outputs) > 1:
            page.print(Text(str(event.step_key), style="dim"))
        _show_metadata(page, event.step_output_data.metadata)
    for warning in _warnings(instance, result.run_id):
        click.echo(f"! {printable(warning)}", err=True)
    if result.success:
        click.echo(f"run {result.run_id}: done", err=True)
        return 0
    errors = list(_errors(result))
    interrupted = any(one.message.startswith(_INTERRUPTED) for one in errors)
    why = (
        "interrupted. What it signed goes on by itself; the same work can be run again when its "
        "lease has ended, in two minutes"
        if interrupted
        else next((reason(one) for one in errors), "the run failed; its page in the UI says why")
    )
    click.echo(f"Error: {printable(why)}", err=True)
    click.echo(f"run {result.run_id}: failed", err=True)
    return 130 if interrupted else 1


def _show_metadata(page: Console, metadata: Mapping[str, Any]) -> None:
    from dagster import MarkdownMetadataValue, TableSchemaMetadataValue

    for name, entry in metadata.items():
        label = Text(name, style="bold")
        if isinstance(entry, MarkdownMetadataValue):
            page.print(label)
            page.print(_Markdown(entry.value, hyperlinks=False))
        elif not isinstance(entry, TableSchemaMetadataValue):
            value = entry.value
            plain = isinstance(value, list | dict | bool | None)
            shown = json.dumps(value, default=str) if plain else str(value)
            page.print(label + Text(f": {printable(shown)}", style="not bold"))


def _warnings(instance: DagsterInstance, run_id: str) -> Iterator[str]:
    for entry in instance.all_logs(run_id):
        if not entry.is_dagster_event and int(entry.level) >= logging.WARNING:
            yield entry.user_message


def _errors(result: ExecuteInProcessResult) -> Iterable[SerializableErrorInfo]:
    """The errors of the failed steps, then of the run itself."""
    for event in result.all_events:
        if event.is_step_failure and event.step_failure_data.error is not None:
            yield event.step_failure_data.error
    for event in result.all_events:
        if event.is_job_failure and event.job_failure_data.error is not None:
            yield event.job_failure_data.error


def reason(error: SerializableErrorInfo) -> str:
    """What a person can act on, without the lines of code it came through.

    Our own errors name value, place and remedy, so the outermost of them is shown; of others the
    one that began it.
    """
    chain = [error]
    while chain[-1].cause is not None:
        chain.append(chain[-1].cause)
    for one in chain:
        if one.message.startswith(_OURS):
            return " ".join(one.message.partition(": ")[2].split())
    # The driver's first line names the problem.
    if chain[-1].message.startswith("psycopg."):
        return f"the database refused: {chain[-1].message.partition(': ')[2].splitlines()[0]}"
    return " ".join(chain[-1].message.split())
