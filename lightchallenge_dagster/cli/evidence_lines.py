"""One line of evidence with its challenge, and the verdict on it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

from lightchallenge_dagster.cli.json_lines import BadLine, encoded, raw
from lightchallenge_dagster.rules.challenge import ChallengeConfig, parse_config, parse_sources
from lightchallenge_dagster.rules.evaluation import Evidence, evaluate
from lightchallenge_dagster.rules.evaluation.parsing import quoted


def judged(_number: int, line: dict[str, Any]) -> bytes:
    """The verdict on one line's evidence, as a line. Raises ``BadLine``."""
    config, sources = _asked(line)
    # One row alone: when it came decides nothing.
    evidence = Evidence(_provider(line), _records(line), "", datetime(1970, 1, 1, tzinfo=UTC))
    verdict = evaluate([evidence], config, accepted_sources=sources)
    return encoded(
        {
            "pass": verdict.passed,
            "score": verdict.score,
            "reasons": raw(verdict.reasons),
            "evaluator": verdict.evaluator,
            "metadata": raw(verdict.metadata),
        }
    )


def _provider(line: dict[str, Any]) -> str:
    provider = line.get("provider")
    if provider is None:
        raise BadLine('provider is missing; name the source of the records, such as "strava"')
    if not isinstance(provider, str):
        raise BadLine(f'provider must be a name such as "strava", not {quoted(provider)}')
    return provider


def _records(line: dict[str, Any]) -> list[Any]:
    records = line.get("records")
    if records is None:
        raise BadLine("records is missing; give the list of records, [] for none")
    if not isinstance(records, list):
        raise BadLine(f"records must be a list in [ ], not {quoted(records)}")
    return cast("list[Any]", records)


def _asked(line: dict[str, Any]) -> tuple[ChallengeConfig | None, tuple[str, ...]]:
    """The challenge's configuration and the providers its model accepts; None for a preview."""
    challenge = _object(line, "challenge", "null for a preview")
    if challenge is None:
        return None, ()
    model = _object(challenge, "model", 'such as {"sources": ["strava"]}') or {}
    config = parse_config(
        challenge.get("params"), challenge.get("proof"), challenge.get("timeline")
    )
    return config, parse_sources(model.get("sources"))


def _object(parent: dict[str, Any], name: str, otherwise: str) -> dict[str, Any] | None:
    value = parent.get(name)
    if value is None or isinstance(value, dict):
        return cast("dict[str, Any] | None", value)
    raise BadLine(f"{name} must be an object, {otherwise}, not {quoted(value)}")
