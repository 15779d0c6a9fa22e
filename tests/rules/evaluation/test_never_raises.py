"""Whatever JSON people send: a verdict comes of it, one that can be stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lightchallenge_dagster.rules.challenge import parse_config
from lightchallenge_dagster.rules.evaluation import (
    EVALUATORS,
    Evidence,
    evaluate,
    holds_recognised_record,
)

from ..effort import examples
from .builders import NOON
from .strategies import JSON, any_params, any_timeline, bent, fitness_records, gaming_records

providers = st.sampled_from(sorted(EVALUATORS)) | st.text(max_size=6)
sources = st.lists(st.sampled_from(("manual", "strava")) | st.text(max_size=4), max_size=2)


def texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in (*value, *value.values()):
            yield from texts(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from texts(part)


def judged(
    rows: list[tuple[str, Any]], params: Any, proof: Any, timeline: Any, accepted: list[str]
) -> None:
    """Nothing raises, no evaluator breaks, and PostgreSQL can take the verdict."""
    challenge = parse_config(params, proof, timeline)
    verdict = evaluate(
        [Evidence(provider, records, f"0x{n}", NOON) for n, (provider, records) in enumerate(rows)],
        challenge,
        accepted_sources=accepted,
    )
    json.dumps(verdict.metadata, allow_nan=False)
    assert bool(verdict.reasons) is not verdict.passed
    assert verdict.score is None or (verdict.score.is_finite() and verdict.score >= 0)
    said = "".join(texts([*verdict.reasons, verdict.metadata, challenge.problem]))
    assert "could not be evaluated" not in said
    assert "\0" not in said  # PostgreSQL's text takes no NUL
    said.encode()  # and no half of a surrogate pair
    for provider, records in rows:
        holds_recognised_record(provider, records)


@examples(1000)
@given(st.lists(st.tuples(providers, JSON), max_size=3), JSON, JSON, JSON, sources)
def test_no_json_makes_evaluation_raise(
    rows: list[tuple[str, Any]], params: Any, proof: Any, timeline: Any, accepted: list[str]
) -> None:
    judged(rows, params, proof, timeline, accepted)


fitness_rows = st.tuples(
    st.sampled_from(("strava", "apple")), bent(st.lists(fitness_records, max_size=3))
)
gaming_rows = st.tuples(
    st.sampled_from(("riot", "steam")), bent(st.lists(gaming_records, max_size=3))
)
params_as_stored = bent(any_params).flatmap(
    lambda value: st.sampled_from((value, json.dumps(value, default=str)))
)


@examples(1000)
@given(
    st.lists(fitness_rows | gaming_rows, min_size=1, max_size=2),
    params_as_stored,
    st.none() | st.fixed_dictionaries({"params": params_as_stored}),
    bent(any_timeline),
    st.just([]) | sources,
)
def test_nothing_that_is_almost_right_makes_evaluation_raise(
    rows: list[tuple[str, Any]], params: Any, proof: Any, timeline: Any, accepted: list[str]
) -> None:
    judged(rows, params, proof, timeline, accepted)
