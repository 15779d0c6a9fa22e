"""Metadata that makes a materialization worth opening: counts, columns, the first ten rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from dagster import (
    AssetMaterialization,
    DataVersion,
    MarkdownMetadataValue,
    MetadataValue,
    TableColumn,
    TableColumnConstraints,
    TableSchema,
)

from lightchallenge_dagster.assets import markdown
from lightchallenge_dagster.rules.amounts import lcai
from lightchallenge_dagster.storage import describe

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from lightchallenge_dagster.assets.catalog import Table
    from lightchallenge_dagster.chain.rpc import Rpc
    from lightchallenge_dagster.steps.outbox import Preview
    from lightchallenge_dagster.storage.ops import WaitingIntent

#: Rows of a table about a run; how many there are is said beside it.
SHOWN = 100

#: Characters of a reason: a sentence with two amounts and a wallet in it.
REASON = 240

#: What a report counts as written to the table that it is about.
_WRITTEN = ("inserted", "changed", "removed", "mirrored")

#: Sensors decide from the database what is out of date. Dagster's own guess, by version of what
#: is upstream, would call every table out of sync after each block; one version keeps it still.
LIVE = DataVersion("live")


def materialization(
    key: str, metadata: Mapping[str, Any], *, partition: str | None = None
) -> AssetMaterialization:
    """The event by which a job says that it wrote a table."""
    return AssetMaterialization(
        key,
        partition=partition,
        metadata=metadata,
        tags={"dagster/data_version": LIVE.value},
    )


def markdown_table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], longest: int = markdown.LONGEST
) -> MarkdownMetadataValue:
    """Rows as a Markdown table; cells are cut at ``longest``, and none is Markdown itself."""
    return MetadataValue.md(markdown.table(columns, rows, longest))


def table_metadata(engine: Engine, table: Table) -> dict[str, Any]:
    """Row count, column schema and top ten of ``table`` as it is now."""
    with engine.connect() as connection:
        columns = describe.columns(connection, table.name)
        names, rows = describe.first_rows(connection, table.top)
        count = describe.row_count(connection, table.name)
    return {
        "dagster/row_count": count,
        "dagster/table_name": table.name,
        "dagster/column_schema": TableSchema(
            columns=[
                TableColumn(
                    name=column.name,
                    type=column.type,
                    description=column.comment or None,
                    constraints=TableColumnConstraints(nullable=not column.not_null),
                )
                for column in columns
            ]
        ),
        "top_ten": markdown_table(names, rows),
    }


def report_metadata(*reports: Any) -> dict[str, Any]:
    """A step's report dataclass as metadata: numbers and texts plain, the rest as JSON.

    What is empty is left out, so that what is there is seen. A report that counts inserted rows
    begins with ``rows_written``: all that it wrote, 0 when nothing had changed. Of several reports,
    what they call by one name is put together.
    """
    values: dict[str, Any] = {}
    for report in reports:
        for field in fields(report):
            values[field.name] = _together(values.get(field.name), getattr(report, field.name))
    nothing: tuple[Any, ...] = (None, "", (), [], {})
    shown = {name: _value(value) for name, value in values.items() if value not in nothing}
    if "inserted" not in values:
        return shown
    return {"rows_written": sum(values.get(name, 0) for name in _WRITTEN), **shown}


def _together(one: Any, other: Any) -> Any:
    if isinstance(one, list) and isinstance(other, list):
        return [*one, *other]  # pyright: ignore[reportUnknownVariableType]
    return other


def lines_metadata(report: Any) -> dict[str, Any]:
    """A report whose ``lines`` are dataclasses of one kind: they as a table, then the rest."""
    lines: Sequence[Any] = report.lines
    shown = {name: one for name, one in report_metadata(report).items() if name != "lines"}
    if not lines:
        return {"found": MetadataValue.md("Nothing was found.")} | shown
    names = [field.name for field in fields(lines[0])]
    rows = [[getattr(line, name) for name in names] for line in lines[:SHOWN]]
    columns = [name.replace("_", " ") for name in names]
    more = {"rows_not_shown": len(lines) - SHOWN} if len(lines) > SHOWN else {}
    return {"found": markdown_table(columns, rows, REASON)} | more | shown


def endpoints_metadata(rpc: Rpc) -> dict[str, Any]:
    """Each endpoint of LCAI_RPC by its label: calls, failures by kind, the range it serves."""
    rows = [
        (
            one.label,
            one.counts.get("calls", 0),
            sum(one.errors().values()),
            ", ".join(f"{kind} {count}" for kind, count in sorted(one.errors().items())),
            one.range.blocks,
            one.last_error,
        )
        for one in rpc.endpoints
    ]
    columns = ("endpoint", "calls", "errors", "by kind", "range (blocks)", "last error")
    return {
        "endpoint_errors": sum(row[2] for row in rows),
        "endpoints": markdown_table(columns, rows),
    }


def dry_run_metadata(
    previews: Sequence[Preview], waiting: Sequence[WaitingIntent]
) -> dict[str, Any]:
    """What a dry run would have sent, what that costs at most, and why others wait."""
    sent = [
        (
            one.intent.kind,
            one.intent.challenge_id,
            lcai(one.cost_wei),
            one.intent.value_wei,
            one.gas,
            one.max_fee_per_gas,
            one.intent.signer,
            one.intent.to,
            one.intent.key,
        )
        for one in previews
    ]
    planned = {one.intent.key for one in previews}
    waits = [
        (one.kind, one.challenge_id, one.reason, one.retry_at, one.status, one.signer, one.key)
        for one in waiting
        if one.key not in planned
    ]
    columns = (
        "kind", "challenge", "costs at most", "value (wei)", "gas", "wei per gas", "wallet", "to",
        "intent",
    )  # fmt: skip
    metadata: dict[str, Any] = {
        "dry_run": True,
        "transactions": len(sent),
        "costs_at_most": lcai(sum(one.cost_wei for one in previews)),
        "would_be_sent": markdown_table(columns, sent[:SHOWN])
        if sent
        else MetadataValue.md("Nothing would be sent."),
    }
    if waits:
        columns = ("kind", "challenge", "waits for", "not before", "status", "wallet", "intent")
        metadata["waits"] = len(waits)
        metadata["why_they_wait"] = markdown_table(columns, waits[:SHOWN], REASON)
    return metadata


def merged_report_metadata(reports: Mapping[str, Any]) -> dict[str, Any]:
    """Reports of several partitions as one: numbers added up, the rest kept per partition."""
    if len(reports) == 1:
        return report_metadata(next(iter(reports.values())))
    merged: dict[str, Any] = {}
    for key, report in reports.items():
        for name, value in report_metadata(report).items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                merged[name] = merged.get(name, 0) + value
            else:
                merged[f"{name} ({key})"] = value
    return merged


def _value(value: Any) -> Any:
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return MetadataValue.json(dict(value))  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(value, list | tuple):
        items: list[Any] = list(value)  # pyright: ignore[reportUnknownArgumentType]
        return MetadataValue.json([item if isinstance(item, int) else str(item) for item in items])
    return str(value)
