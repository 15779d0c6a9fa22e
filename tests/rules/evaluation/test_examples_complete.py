"""Nothing that a rule can ask and nothing that a verdict can say is without a worked example.

Whoever adds a metric, an operator or a sentence finds it missing here until
``test_rules_by_example.py`` shows it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from lightchallenge_dagster.rules import challenge, evaluation
from lightchallenge_dagster.rules.evaluation import (
    EVALUATORS,
    activities,
    matches,
    metrics,
    parsing,
)
from lightchallenge_dagster.rules.evaluation.models import (
    OPS,
    FullFitness,
    FullGaming,
    SimplifiedFitness,
    SimplifiedGaming,
)

from .test_rules_by_example import TABLE, Example

EXAMPLES = [example for examples in TABLE.values() for example in examples]
PASSING = [example for example in EXAMPLES if example.passed]
MODULES = [
    *sorted(Path(str(evaluation.__file__)).parent.glob("*.py")),
    Path(str(challenge.__file__)),
]


def fitness_rules(examples: Iterable[Example]) -> Iterator[tuple[str, object]]:
    """The fitness rule of each example, with the mode that judges it."""
    for example in examples:
        if example.rule is not None and example.rule.fitness_rule is not None:
            yield example.rule.mode, example.rule.fitness_rule


def gaming_rules(examples: Iterable[Example]) -> Iterator[tuple[str, object]]:
    """The gaming rule of each example, with the mode that judges it."""
    for example in examples:
        if example.rule is not None and example.rule.gaming_rule is not None:
            yield example.rule.mode, example.rule.gaming_rule


def full(examples: Iterable[Example], mode: str) -> list[FullFitness]:
    return [
        rule
        for judged_as, rule in fitness_rules(examples)
        if judged_as == mode and isinstance(rule, FullFitness)
    ]


def fields(examples: Iterable[Example]) -> set[str]:
    """Every field that is set in a record of the examples."""
    return {
        name
        for example in examples
        if isinstance(example.records, list)
        for record in example.records
        if isinstance(record, dict)
        for name, value in record.items()
        if value is not None
    }


def test_every_metric_of_simplified_rules_has_an_example() -> None:
    asked = {
        (rule.metric.name, rule.period)
        for _, rule in fitness_rules(PASSING)
        if isinstance(rule, SimplifiedFitness)
    }
    assert {name for name, _ in asked} == set(metrics.SIMPLIFIED)
    assert {period for _, period in asked} == {"daily", "total", "average"}


def test_every_condition_metric_and_operator_has_an_example() -> None:
    asked = [each for rule in full(PASSING, "threshold") for each in rule.conditions]
    assert {each.metric.name for each in asked} == set(metrics.CONDITIONS)
    assert {each.op for each in asked} == set(OPS)
    refused = {
        each.op
        for rule in full((e for e in EXAMPLES if not e.passed), "threshold")
        for each in rule.conditions
    }
    assert refused == set(OPS)


def test_every_daily_metric_has_an_example() -> None:
    targets = [rule.daily for rule in full(PASSING, "threshold") if rule.daily is not None]
    assert {c.metric.name for each in targets for c in each.conditions} == set(metrics.DAILY)


def test_every_competitive_metric_has_an_example() -> None:
    asked = {rule.competitive_metric.name for rule in full(PASSING, "competitive")}
    assert asked == set(metrics.COMPETITIVE)


def test_every_gaming_metric_has_an_example() -> None:
    simplified = {
        (rule.metric, rule.period)
        for _, rule in gaming_rules(PASSING)
        if isinstance(rule, SimplifiedGaming)
    }
    assert simplified == {
        (metric, period)
        for metric in parsing._GAMING_METRICS
        for period in ("total", "per_match", "best_match")
    }
    competitive = {
        rule.competitive_metric
        for mode, rule in gaming_rules(PASSING)
        if mode == "competitive" and isinstance(rule, FullGaming)
    }
    assert competitive == set(parsing._COMPETITIVE_GAMING)


def test_every_activity_type_scores_by_an_example_and_every_spelling_has_one() -> None:
    natural = {
        rule.activity
        for rule in full(PASSING, "threshold")
        if rule.score_metric is None and rule.daily is None
    }
    assert natural == set(metrics.NATURAL)
    spelled = {
        record["type"].lower()
        for example in PASSING
        if isinstance(example.records, list)
        for record in example.records
        if isinstance(record, dict) and "type" in record
    }
    assert spelled == set(activities._CANONICAL)


def test_every_quantity_has_an_example() -> None:
    quantities = {*activities._QUANTITIES, *matches._QUANTITIES}
    assert quantities - fields(PASSING) == set()


def test_every_provider_has_an_example() -> None:
    assert {example.provider for example in PASSING} >= set(EVALUATORS)


def templates(source: str) -> dict[str, int]:
    """Every text with words in a function, as a pattern, with its line."""
    found: dict[str, int] = {}
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, ast.FunctionDef):
            for statement in function.body:
                _collect(statement, found)
    return found


def _collect(node: ast.AST, found: dict[str, int]) -> None:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return  # a docstring
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "cast":
        return
    if isinstance(node, ast.Constant | ast.JoinedStr):
        parts = node.values if isinstance(node, ast.JoinedStr) else [node]
        words = [
            part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else None
            for part in parts
        ]
        text = "".join(word or "" for word in words)
        if " " in text and re.search("[a-z]{3}", text):
            pattern = "".join(".*" if word is None else re.escape(word) for word in words)
            found[pattern] = node.lineno
    for child in ast.iter_child_nodes(node):
        if isinstance(node, ast.JoinedStr) and isinstance(child, ast.Constant):
            continue
        if isinstance(node, ast.FormattedValue) and child is node.format_spec:
            continue
        _collect(child, found)


@pytest.fixture(scope="module")
def said() -> str:
    """All that the examples' verdicts and configurations say, a sentence to a line."""
    sentences: list[str] = []
    for example in EXAMPLES:
        sentences += example.verdict().reasons
        if example.rule is not None and example.rule.problem is not None:
            sentences.append(example.rule.problem)
    return "\n".join(sentences)


def unsaid(source: str, said: str) -> dict[str, int]:
    """The templates of ``source`` that no sentence comes from, with their lines."""
    return {
        pattern: line
        for pattern, line in templates(source).items()
        if re.search(pattern, said) is None
    }


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_every_sentence_has_an_example(module: Path, said: str) -> None:
    assert unsaid(module.read_text(encoding="utf-8"), said) == {}


def test_a_sentence_without_an_example_is_noticed(said: str) -> None:
    source = '''
def judged(days):
    """Words that nobody is told."""
    most = f"{days:,} days in a row"
    return [f"You slept on {most if days else 'no day at all'}; the challenge asks for {days}."]
'''
    assert set(unsaid(source, said)) == {
        ".*\\ days\\ in\\ a\\ row",
        "You\\ slept\\ on\\ .*;\\ the\\ challenge\\ asks\\ for\\ .*\\.",
        "no\\ day\\ at\\ all",
    }
