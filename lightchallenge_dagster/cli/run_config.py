"""A job's run config from ``NAME=VALUE``, checked by the Config classes of its ops."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any

import click

from lightchallenge_dagster.cli.surroundings import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dagster import Config, JobDefinition


def fields(job: JobDefinition) -> list[str]:
    """The names of all fields that the job takes."""
    return _names(_classes(job))


def run_config(job: JobDefinition, values: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The run config with these fields set.

    Raises ``UsageError`` for what the job does not take.
    """
    ops, wanted = _classes(job), dict[str, Any]()
    known = _names(ops)
    for name, value in values:
        if name not in known:
            has = ", ".join(known) or "no field at all"
            raise click.UsageError(f"{job.name} has no field {printable(name)!r}; it has {has}")
        if name in wanted:
            raise click.UsageError(f"{name} is given twice")
        wanted[name] = value
    for config in ops.values():
        for name, field in config.model_fields.items():
            if field.is_required() and name not in wanted:
                raise click.UsageError(f"{job.name} needs {name}=VALUE")
    return {"ops": {op: {"config": _checked(config, wanted)} for op, config in ops.items()}}


def pair(text: str) -> tuple[str, Any]:
    """``NAME=VALUE`` apart; what is no JSON is text. Raises ``UsageError``."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.UsageError(f"{printable(text)!r} is not NAME=VALUE")
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        return name, value


def _classes(job: JobDefinition) -> dict[str, type[Config]]:
    """By op, the class of its config."""
    from dagster import Config

    found: dict[str, type[Config]] = {}
    for node in job.nodes:
        function: Any = getattr(node.definition, "compute_fn", None)
        function = getattr(function, "decorated_fn", None)
        parameter = inspect.signature(function).parameters.get("config") if function else None
        if parameter is not None and issubclass(parameter.annotation, Config):
            found[node.name] = parameter.annotation
    return found


def _names(ops: Mapping[str, type[Config]]) -> list[str]:
    return sorted({name for config in ops.values() for name in config.model_fields})


def _checked(config: type[Config], wanted: Mapping[str, Any]) -> dict[str, Any]:
    from pydantic import ValidationError

    mine = {name: value for name, value in wanted.items() if name in config.model_fields}
    try:
        return config(**mine).model_dump(include=set(mine))
    except ValidationError as error:
        reasons = [
            f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}"
            for one in error.errors(include_url=False)
        ]
        raise click.UsageError(printable("; ".join(reasons))) from None
