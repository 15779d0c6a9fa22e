"""Judging: what is due, what is written, and what is settled and stays."""

from __future__ import annotations

import multiprocessing
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import Engine, text

from lightchallenge_dagster.errors import TransientError
from lightchallenge_dagster.steps import judge, judging
from lightchallenge_dagster.steps.judge import JudgeReport
from lightchallenge_dagster.steps.plan import PlanPolicy, refresh_plans
from lightchallenge_dagster.storage import rankings
from tests import builders as build
from tests.builders import DEADLINE, ENDS, STARTS, run, wallet

POLICY = PlanPolicy(competitive_margin_s=7200, submit_reserve_s=600)
DAY = "2026-03-08"
DURING = STARTS + timedelta(days=3)
A, B, C = wallet(1), wallet(2), wallet(3)


def judged(database: Engine, partition: str = DAY, **options: Any) -> JudgeReport:
    refresh_plans(database, POLICY)
    return judge.judge(database, partition, DURING, **options)


def verdicts(database: Engine, columns: str = "subject, pass, score") -> list[tuple[Any, ...]]:
    return build.rows(
        database,
        f"select {columns} from public.verdicts order by challenge_id, subject",  # noqa: S608
    )


def test_evidence_becomes_a_verdict_and_then_nothing_is_pending(database: Engine) -> None:
    build.challenge(database, 7, build.distance_rule(10))
    build.evidence(database, 7, A, [run(6, 2), run(5, 3)])
    build.evidence(database, 7, B, [run(6, 2)])
    refresh_plans(database, POLICY)
    assert judge.pending(database) == {DAY: 2}
    report = judged(database)
    assert report == JudgeReport(
        partition=DAY, read=2, judged=2, inserted=2, passed=1, failed=1, final=1
    )
    assert verdicts(database) == [(A, True, Decimal(11)), (B, False, Decimal(6))]
    assert judge.pending(database) == {}


def test_judging_again_in_full_writes_no_row(database: Engine) -> None:
    build.challenge(database, 7, build.distance_rule(10))
    build.evidence(database, 7, A, [run(6, 2), run(5, 3)])
    judged(database)
    before = build.rows(database, "select xmin::text, * from public.verdicts")
    report = judged(database, full=True)
    assert report == JudgeReport(
        partition=DAY, read=1, judged=1, unchanged=1, passed=1, failed=0, final=1
    )
    assert build.rows(database, "select xmin::text, * from public.verdicts") == before


def test_only_the_wallet_with_new_evidence_is_judged_again(database: Engine) -> None:
    build.challenge(database, 7, build.distance_rule(10))
    build.evidence(database, 7, A, [run(6)])
    build.evidence(database, 7, B, [run(6)])
    judged(database)
    build.evidence(database, 7, B, [run(12)], at=DURING)
    assert judge.pending(database) == {DAY: 1}
    report = judged(database)
    assert (report.judged, report.changed) == (1, 1)
    assert verdicts(database) == [(A, False, Decimal(6)), (B, True, Decimal(12))]


def test_the_latest_row_of_each_provider_counts_and_the_best_provider_wins(
    database: Engine,
) -> None:
    build.challenge(database, 7, build.distance_rule(10))
    build.evidence(database, 7, A, [run(50)], provider="strava", at=STARTS)
    build.evidence(database, 7, A, [run(3)], provider="Strava", at=DURING)
    build.evidence(database, 7, A, [run(11)], provider="garmin", at=STARTS)
    judged(database)
    assert verdicts(database, "pass, score, metadata ->> 'provider'") == [
        (True, Decimal(11), "garmin")
    ]


def test_a_changed_rule_is_judged_again(database: Engine) -> None:
    build.challenge(database, 7, build.distance_rule(10))
    build.evidence(database, 7, A, [run(6)])
    judged(database)
    build.execute(
        database,
        "update public.challenges set proof = jsonb_set(proof, '{params,rules,threshold}', '5')",
    )
    refresh_plans(database, POLICY)
    assert judge.pending(database) == {DAY: 1}
    judged(database)
    assert verdicts(database) == [(A, True, Decimal(6))]


def test_a_source_that_the_model_stops_accepting_fails_its_evidence(database: Engine) -> None:
    build.challenge(database, 7, build.distance_rule(5), model_id="runs@1")
    build.evidence(database, 7, A, [run(6)])
    judged(database)
    assert verdicts(database, "pass") == [(True,)]
    build.insert(
        database,
        "public.models",
        id="runs@1",
        label="Runs",
        kind="aivm",
        model_hash=build.HASH,
        verifier=wallet(9),
        binding=True,
        signals={},
        params_schema={},
        sources='["garmin"]',
        file_accept="[]",
    )
    assert judge.pending(database) == {DAY: 1}
    judged(database)
    assert verdicts(database, "pass, score") == [(False, None)]
    assert judge.pending(database) == {}


def test_a_verdict_that_is_gone_is_made_again(database: Engine) -> None:
    build.challenge(database, 7, build.distance_rule(5))
    build.evidence(database, 7, A, [run(6)])
    judged(database)
    build.execute(database, "delete from public.verdicts")
    assert judge.pending(database) == {DAY: 1}
    assert judged(database).inserted == 1


def test_previews_and_unknown_challenges_are_unscheduled_and_take_the_fallback(
    database: Engine,
) -> None:
    build.challenge(database, 0, build.distance_rule(1000), chain=False)
    build.evidence(database, 0, A, [run(1)])
    build.evidence(database, 12345, A, [run(1), run(2)])
    build.challenge(database, 7, build.distance_rule(5))
    build.evidence(database, 7, A, [run(6)])
    refresh_plans(database, POLICY)
    assert judge.pending(database) == {"unscheduled": 2, DAY: 1}
    judged(database, "unscheduled")
    assert verdicts(database, "challenge_id, pass, score") == [
        (0, True, Decimal(1)),
        (12345, True, Decimal(2)),
    ]
    assert judge.pending(database) == {DAY: 1}


def test_an_unknown_provider_or_absurd_data_never_stays_in_the_queue(database: Engine) -> None:
    build.challenge(database, 7, build.distance_rule(5))
    build.evidence(database, 7, A, [run(6)], provider="carrier pigeon")
    build.evidence(database, 7, B, [17, None, "x", {"type": "run", "start": []}])
    build.insert(
        database,
        "public.evidence",
        challenge_id=7,
        subject=C,
        provider="strava",
        data={"not": "a list"},
        evidence_hash="h",
        created_at=STARTS,
        updated_at=STARTS,
    )
    report = judged(database)
    assert (report.judged, report.failed) == (3, 3)
    assert all(reasons for (reasons,) in verdicts(database, "reasons"))
    assert judge.pending(database) == {}


def test_mixed_case_subjects_are_one_wallet(database: Engine) -> None:
    shouting = "0x" + "AB" * 20
    build.challenge(database, 7, build.distance_rule(5))
    build.verdict(database, 7, shouting, passed=False, score=0)
    build.evidence(database, 7, shouting, [run(6)])
    report = judged(database)
    assert (report.inserted, report.changed) == (0, 1)
    assert verdicts(database) == [(shouting, True, Decimal(6))]
    assert judge.pending(database) == {}


# ── When it was submitted ───────────────────────────────────────────────────────────────────


def test_the_submission_is_the_first_evidence_with_a_recognised_record(database: Engine) -> None:
    build.challenge(database, 7, build.distance_rule(5))
    times = [STARTS + timedelta(hours=hour) for hour in range(4)]
    build.evidence(database, 7, A, [], at=times[0])
    build.evidence(database, 7, A, [{"type": "chess"}], at=times[1])
    build.evidence(database, 7, A, [run(1)], at=times[2])
    build.evidence(database, 7, A, [run(6)], at=times[3])
    judged(database)
    assert verdicts(database, "created_at, score") == [(times[2], Decimal(6))]


def test_an_empty_upload_takes_no_place_in_the_queue(database: Engine) -> None:
    build.challenge(database, 7, build.distance_rule(5))
    build.evidence(database, 7, A, [], at=STARTS)
    judged(database)
    assert verdicts(database, "created_at") == [(STARTS,)]
    later = STARTS + timedelta(days=2)
    build.evidence(database, 7, A, [run(6)], at=later)
    judged(database)
    assert verdicts(database, "created_at") == [(later,)]


def test_once_known_the_submission_never_moves(database: Engine) -> None:
    build.challenge(database, 7, build.distance_rule(5))
    first = build.evidence(database, 7, A, [run(6)], at=STARTS)
    judged(database)
    build.evidence(database, 7, A, [run(9)], at=DURING)
    judged(database)
    build.execute(database, "delete from public.evidence where id = :id", id=first)
    judged(database, full=True)
    assert verdicts(database, "created_at, score") == [(STARTS, Decimal(9))]


def test_a_match_that_was_lost_is_a_recognised_record_too(database: Engine) -> None:
    build.challenge(database, 7, {"rule": {"minWins": 1}})
    lost = {"match_id": 1, "result_for_player": "loss", "start": DURING.isoformat()}
    won = {"match_id": 2, "result_for_player": "win", "start": DURING.isoformat()}
    build.evidence(database, 7, A, [lost], provider="opendota", at=DURING)
    build.evidence(database, 7, A, [lost, won], provider="opendota", at=DURING + timedelta(hours=1))
    judged(database)
    assert verdicts(database, "pass, created_at") == [(True, DURING)]


# ── Settled ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["bind", "proof"])
def test_a_verdict_that_money_hangs_on_is_not_changed_by_worse_evidence(
    database: Engine, kind: str
) -> None:
    build.challenge(database, 7, build.distance_rule(5))
    build.evidence(database, 7, A, [run(6)])
    judged(database)
    before = build.rows(database, "select xmin::text, * from public.verdicts")
    build.intent(database, 7, A, kind)
    build.evidence(database, 7, A, [run(1)], at=DURING)
    report = judged(database)
    assert (report.judged, report.frozen, report.changed) == (1, 1, 0)
    assert build.rows(database, "select xmin::text, * from public.verdicts") == before
    assert build.rows(database, "select final_when from pipeline.judgements") == [("now",)]
    assert judge.pending(database) == {}


def test_a_request_intent_settles_nothing(database: Engine) -> None:
    build.challenge(database, 7, build.distance_rule(5))
    build.evidence(database, 7, A, [run(6)])
    judged(database)
    build.intent(database, 7, A, "request")
    build.evidence(database, 7, A, [run(1)], at=DURING)
    assert judged(database).changed == 1


def test_a_bound_pass_is_settled_and_a_bound_fail_can_still_pass(database: Engine) -> None:
    build.challenge(database, 7, build.distance_rule(5))
    for subject, km in ((A, 6), (B, 1)):
        build.evidence(database, 7, subject, [run(km)])
    judged(database)
    for subject in (A, B):
        build.binding(database, 7, subject)
    build.evidence(database, 7, A, [run(1)], at=DURING)
    build.evidence(database, 7, B, [run(6)], at=DURING)
    report = judged(database)
    assert (report.frozen, report.changed) == (1, 1)
    assert verdicts(database, "pass") == [(True,), (True,)]


def test_a_settled_verdict_changes_when_a_run_says_so(database: Engine) -> None:
    build.challenge(database, 7, build.distance_rule(5))
    build.evidence(database, 7, A, [run(6)])
    judged(database)
    build.intent(database, 7, A)
    build.evidence(database, 7, A, [run(1)], at=DURING)
    judged(database)
    report = judged(database, full=True, overwrite_settled=True)
    assert (report.frozen, report.changed) == (0, 1)
    assert verdicts(database, "pass") == [(False,)]


def test_many_wallets_in_several_chunks_come_out_like_one_by_one(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge, "CHUNK", 3)
    build.challenge(database, 7, build.distance_rule(5))
    for number in range(1, 9):
        build.evidence(database, 7, wallet(number), [], at=STARTS)
        build.evidence(database, 7, wallet(number), [run(number)], at=DURING)
    report = judged(database)
    assert (report.read, report.inserted) == (8, 8)
    assert verdicts(database) == [
        (wallet(number), number >= 5, Decimal(number)) for number in range(1, 9)
    ]
    assert verdicts(database, "distinct created_at, challenge_id, 1 as subject") == [(DURING, 7, 1)]


def test_finality_is_that_of_the_rule(database: Engine) -> None:
    average = {
        "rules": {
            "type": "fitness",
            "metric": "distance_km",
            "threshold": 5,
            "period": "average",
        }
    }
    build.challenge(database, 7, average)
    build.evidence(database, 7, A, [run(6)])
    refresh_plans(database, POLICY)
    assert judge.judge(database, DAY, ENDS - timedelta(seconds=1)).final == 0
    assert judge.judge(database, DAY, ENDS, full=True).final == 1
    assert build.rows(database, "select final_when from pipeline.judgements") == [("ends_at",)]
    assert DEADLINE > ENDS


def test_a_judgement_waits_for_an_intent_that_is_being_written_and_then_respects_it(
    database: Engine,
) -> None:
    build.challenge(database, 7, build.distance_rule(5))
    build.evidence(database, 7, A, [run(6)])
    build.stake(database, 7, A)
    judged(database)
    build.evidence(database, 7, A, [run(1)], at=DURING)
    with ThreadPoolExecutor(1) as pool:
        with database.begin() as connection:
            (winner,) = rankings.settled_winners(connection, [7], DURING, lock=True)
            judging = pool.submit(judge.judge, database, DAY, DURING)
            waiting = (
                "select count(*) from pg_stat_activity"
                " where datname = current_database() and wait_event_type = 'Lock'"
            )
            while not build.rows(database, waiting)[0][0]:
                assert not judging.done()
            connection.execute(
                text(
                    "insert into pipeline.intents"
                    " (key, chain_id, kind, challenge_id, subject, signer, to_address, data)"
                    " values ('bind', 504, 'bind', 7, :subject, '0x', '0x', '0x')"
                ),
                {"subject": winner.subject},
            )
        report = judging.result(timeout=60)
    assert (report.frozen, report.changed) == (1, 0)
    assert verdicts(database) == [(A, True, Decimal(6))]


def test_a_pass_that_an_earlier_worker_requested_for_waits_for_its_binding_to_be_read(
    database: Engine,
) -> None:
    build.challenge(database, 7, build.distance_rule(10))
    for subject in (A, B):
        build.evidence(database, 7, subject, [run(5)])
        build.verdict(database, 7, subject, passed=subject == A, score=11)
    build.insert(
        database,
        "public.aivm_jobs",
        challenge_id=7,
        status="submitted",
        attempts=0,
        task_id=build.HASH,
    )
    assert judged(database).judged == 1  # nobody orders a payment for B's failure
    assert verdicts(database) == [(A, True, Decimal(11)), (B, False, Decimal(5))]
    assert judge.pending(database) == {}
    # The indexer reads the request, and behind it the binding.
    build.insert(
        database,
        "pipeline.inference_requests",
        request_id=1,
        task_id=build.HASH,
        requester=C,
        model="m",
        prompt_hash=build.HASH,
        prompt_id=build.HASH,
        model_digest=build.HASH,
        det_config_hash=build.HASH,
        status="requested",
        requested_block=1,
        requested_tx=build.HASH,
        requested_ts=build.ts(STARTS),
    )
    build.binding(database, 7, A)
    assert judge.pending(database) == {DAY: 1}
    assert judged(database).frozen == 1
    assert verdicts(database)[0] == (A, True, Decimal(11))
    assert judge.pending(database) == {}


# ── Several processes ───────────────────────────────────────────────────────────────────────


def crowd(database: Engine, wallets: int) -> None:
    build.challenge(database, 7, build.distance_rule(5))
    for number in range(1, wallets + 1):
        build.evidence(database, 7, wallet(number), [run(number)], at=DURING)


def test_several_processes_judge_like_one(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge, "CHUNK", 3)
    crowd(database, 20)
    report = judged(database, processes=2)
    assert (report.read, report.judged, report.inserted, report.passed) == (20, 20, 20, 16)
    before = build.rows(database, "select xmin::text, * from public.verdicts order by subject")
    again = judged(database, full=True, processes=1)
    assert (again.judged, again.unchanged) == (20, 20)
    after = build.rows(database, "select xmin::text, * from public.verdicts order by subject")
    assert after == before


@pytest.fixture(params=["heard", "ignored"])
def requests_to_end(request: pytest.FixtureRequest) -> Iterator[None]:
    """A run started in a shell's background ignores interrupts, and so do its children."""
    before = signal.getsignal(signal.SIGTERM)
    if request.param == "ignored":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("requests_to_end")
def test_a_judging_process_that_is_killed_takes_the_whole_batch_back(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge, "CHUNK", 1)
    crowd(database, 30)

    others = multiprocessing.active_children()

    def kill_one() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for child in multiprocessing.active_children():
                if child not in others:
                    child.kill()
                    return
            time.sleep(0.01)

    killer = threading.Thread(target=kill_one)
    killer.start()
    with pytest.raises(TransientError, match="a judging process died; nothing was stored"):
        judged(database, processes=2)
    killer.join()
    assert verdicts(database) == []
    assert set(multiprocessing.active_children()) <= set(others)
    assert judged(database, processes=1).inserted == 30


def test_a_judging_process_that_cannot_be_started_takes_the_whole_batch_back(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge, "CHUNK", 1)
    crowd(database, 4)
    started: list[object] = []
    start = BaseProcess.start

    def start_or_fail(process: BaseProcess) -> None:
        if started:
            # As when the first one dies meanwhile, or there is no memory for another.
            raise OSError("handle is closed")
        started.append(process)
        start(process)

    monkeypatch.setattr(BaseProcess, "start", start_or_fail)
    with pytest.raises(TransientError, match="a judging process died; nothing was stored"):
        judged(database, processes=2)
    assert verdicts(database) == []


@pytest.mark.parametrize("number", ["1e400", "1" * 500, "-0.0", "18446744073709551616", "1e-500"])
def test_numbers_that_one_parser_refuses_are_read_by_the_other(
    database: Engine, number: str
) -> None:
    build.challenge(database, 7, build.distance_rule(5))
    build.evidence(database, 7, A, [run(6)])
    build.execute(
        database,
        "update public.evidence set data = data || cast(:more as jsonb)",
        more=f'[{{"type": "run", "start": "2026-03-03T10:00:00Z", "elev_gain_m": {number}}}]',
    )
    judged(database)
    ((passed, score),) = verdicts(database, "pass, score")
    assert (passed, score) == (True, Decimal(6))


_PARENT = """
import sys, time
from lightchallenge_dagster.steps.judging import judges
from lightchallenge_dagster.steps.judging import Chunk
from datetime import UTC, datetime

if __name__ == "__main__":
    import multiprocessing

    with judges(2) as judged_by:
        list(judged_by(Chunk([], [], datetime.now(UTC)) for _ in range(8)))
        print(*[child.pid for child in multiprocessing.active_children()], flush=True)
        time.sleep(60)
"""


def test_judging_processes_end_with_a_run_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(_PARENT, encoding="utf-8")
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        workers = [psutil.Process(int(pid)) for pid in run.stdout.readline().split()]
        assert workers
        run.kill()
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert alive == []


def test_evidence_that_is_deleted_while_it_is_judged_stops_nobody(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowd(database, 3)
    judge_chunk = judging.judge_chunk

    def meanwhile(chunk: judging.Chunk) -> list[judging.Finding]:
        build.execute(database, "delete from public.evidence where subject = :a", a=A)
        return judge_chunk(chunk)

    monkeypatch.setattr(judging, "judge_chunk", meanwhile)
    assert judged(database, processes=1).inserted == 2
    assert [row[0] for row in verdicts(database)] == [B, C]
    assert judge.pending(database) == {}


def test_judging_locks_no_verdict_before_all_are_judged(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever binds a winner takes the row's lock, and must not wait for a day's judgement."""
    monkeypatch.setattr(judge, "CHUNK", 1)
    crowd(database, 3)
    judged(database)
    looked: list[int] = []
    judge_chunk = judging.judge_chunk

    def look(chunk: judging.Chunk) -> list[judging.Finding]:
        with database.begin() as connection:
            query = "select count(*) from (select 1 from public.verdicts for update nowait) v"
            looked.append(connection.execute(text(query)).scalar_one())
        return judge_chunk(chunk)

    monkeypatch.setattr(judging, "judge_chunk", look)
    assert judged(database, full=True, processes=1).unchanged == 3
    assert looked == [3, 3, 3]
