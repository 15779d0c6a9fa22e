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
from .strategies import (
    JSON,
    any_timeline,
    bent,
    fitness_params,
    fitness_records,
    gaming_params,
    gaming_records,
)

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


def almost_right(
    providers: tuple[str, ...], records: st.SearchStrategy[Any], params: st.SearchStrategy[Any]
) -> st.SearchStrategy[tuple[Any, Any]]:
    """Evidence of one kind, and a challenge of that kind."""
    rows = st.lists(
        st.tuples(
            st.sampled_from(providers), bent(st.lists(records, min_size=1, max_size=3), most=4)
        ),
        min_size=1,
        max_size=2,
    )
    return st.tuples(rows, bent(params, most=1))


@examples(1000)
@given(
    almost_right(("strava", "apple"), fitness_records, fitness_params)
    | almost_right(("riot", "steam"), gaming_records, gaming_params),
    st.none() | bent(fitness_params | gaming_params),
    st.none() | st.none() | bent(any_timeline),
)
def test_nothing_that_is_almost_right_makes_evaluation_raise(
    one: tuple[list[tuple[str, Any]], Any], proof_params: Any, timeline: Any
) -> None:
    rows, params = one
    judged(rows, params, {"params": proof_params}, timeline, [])
