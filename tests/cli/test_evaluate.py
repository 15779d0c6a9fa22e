"""``lightchallenge evaluate``: verdicts without a database, and lines that cannot be read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from lightchallenge_dagster.cli import cli
from tests.builders import distance_rule, run

COMMAND = str(Path(sys.executable).parent / "lightchallenge")


def evaluate(lines: str | bytes, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["evaluate", *arguments], input=lines)


def line(records: Any, challenge: Any = None, provider: Any = "strava") -> str:
    return json.dumps({"provider": provider, "records": records, "challenge": challenge}) + "\n"


def verdicts(result: Result) -> list[dict[str, Any]]:
    return [json.loads(text) for text in result.stdout.splitlines()]


def ten_km(**more: Any) -> dict[str, Any]:
    return {"proof": {"params": distance_rule(10)}, "params": None, "timeline": None, **more}


def test_each_line_becomes_a_verdict_in_its_order() -> None:
    result = evaluate(line([run(12)], ten_km()) + line([run(4)], ten_km()) + line([run(1), run(2)]))
    assert result.exit_code == 0
    first, second, preview = verdicts(result)
    assert set(first) == {"pass", "score", "reasons", "evaluator", "metadata"}
    assert (first["pass"], first["score"], first["evaluator"]) == (True, 12, "fitness")
    assert (second["pass"], second["score"]) == (False, 4)
    assert "10" in second["reasons"][0]
    assert (preview["pass"], preview["score"], preview["metadata"]["rule"]) == (True, 2, "fallback")


def test_a_score_is_a_number_with_every_digit_or_null() -> None:
    result = evaluate(line([run(12.1), run(0.2, 3)], ten_km()) + line([], provider="zwift"))
    assert '"score":12.3,' in result.stdout
    assert '"score":null,' in result.stdout


def test_the_model_of_a_challenge_restricts_its_providers() -> None:
    challenge = ten_km(model={"sources": ["garmin", "manual"]})
    result = evaluate(line([run(12)], challenge) + line([{"km": 12}], challenge, "manual"))
    assert [verdict["pass"] for verdict in verdicts(result)] == [False, True]


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("nonsense", "is not JSON"),
        ("[1]", "must be an object"),
        ('"text"', "must be an object"),
        ("{", "is not JSON"),
        ('{"records": []}', "provider is missing"),
        ('{"provider": null, "records": []}', "provider is missing"),
        ('{"provider": 7, "records": []}', "provider must be a name"),
        ('{"provider": "strava"}', "records is missing"),
        ('{"provider": "strava", "records": {"type": "run"}}', "records must be a list"),
        ('{"provider": "strava", "records": [], "challenge": "7"}', "challenge must be an object"),
        (
            '{"provider": "strava", "records": [], "challenge": {"model": ["strava"]}}',
            "model must be an object",
        ),
        ('{"provider": "strava", "records": ' + "[" * 100_000, "nested deeper"),
        (
            '{"provider": "strava", "records": ' + "[" * 5000 + "]" * 5000 + "}",
            "nested deeper than 64 levels",
        ),
        (b'{"provider": "str\xe4va", "records": []}', "is not UTF-8"),
    ],
)
def test_a_bad_line_is_named_and_the_others_go_on(bad: str | bytes, says: str) -> None:
    raw = bad if isinstance(bad, bytes) else bad.encode()
    good = line([run(12)], ten_km()).encode()
    result = evaluate(good + b"\n" + raw + b"\n" + good)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert len(verdicts(result)) == 2
    assert result.stderr.startswith("line 3: ")
    assert says in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_byte_order_mark_and_blank_lines_are_passed_over() -> None:
    result = evaluate(b"\xef\xbb\xbf" + line([run(12)]).encode() + b"\r\n \n")
    assert (result.exit_code, len(verdicts(result)), result.stderr) == (0, 1, "")


def test_no_input_is_no_output() -> None:
    assert (evaluate("").exit_code, evaluate("").stdout) == (0, "")


def test_records_with_absurd_numbers_and_broken_texts_get_a_verdict() -> None:
    records = (
        '[{"type": "run", "start": "2026-03-02T08:00:00Z", "distance_km": %s, "title": "\\ud800"}]'
    )
    text = "".join(
        '{"provider": "strava", "challenge": null, "records": ' + records % value + "}\n"
        for value in ("1" * 50_000, "1e999", "NaN", "-1", "0.1")
    )
    result = evaluate(text)
    assert result.exit_code == 0
    assert [verdict["pass"] for verdict in verdicts(result)] == [False] * 4 + [True]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(["strava", "opendota", "manual", "x"]), st.lists(_JSON, max_size=3), _JSON)
def test_whatever_the_records_and_the_rule_are_there_is_one_verdict_a_line(
    provider: str, records: list[Any], params: Any
) -> None:
    result = evaluate(line(records, {"params": params, "proof": {"params": params}}, provider))
    assert result.exit_code == 0
    assert len(verdicts(result)) == 1


def test_it_needs_no_setting_and_no_broken_env_file_stops_it(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"DATABASE_URL=\xff\n")
    (tmp_path / "evidence.jsonl").write_text(line([run(12)]))
    done = subprocess.run(
        [COMMAND, "evaluate", "evidence.jsonl"], cwd=tmp_path, env={}, capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["pass"] is True


def test_a_verdict_comes_before_the_next_line_is_read(tmp_path: Path) -> None:
    with subprocess.Popen(
        [COMMAND, "evaluate"], cwd=tmp_path, env={}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        for km in (1, 2):
            process.stdin.write(line([run(km)]).encode())
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["score"] == 1
        process.stdin.close()
        assert process.wait(60) == 0


def test_a_closed_pipe_ends_it_quietly(tmp_path: Path) -> None:
    (tmp_path / "many.jsonl").write_text(line([run(12)]) * 5000)
    done = subprocess.run(
        f"{COMMAND} evaluate many.jsonl | head -1",
        shell=True,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
    )
    assert (done.stderr, len(done.stdout.splitlines())) == (b"", 1)


def test_the_help_has_examples_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from lightchallenge_dagster.cli import cli\n"
        "try: cli(['evaluate', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'dagster', 'sqlalchemy', 'polars', 'pydantic'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Examples:" in done.stdout
