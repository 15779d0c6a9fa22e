"""The demo's people, files and view, each held against what it is meant for."""

from __future__ import annotations

import os
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from rich.console import Console

from lightchallenge_dagster.devnet.client import CANCELED
from lightchallenge_dagster.devnet.demo import facts, report, stack, uploads
from lightchallenge_dagster.devnet.demo.__main__ import main
from lightchallenge_dagster.devnet.demo.facts import ChainFacts, DatabaseChallenge, Outcome
from lightchallenge_dagster.devnet.demo.progress import Diary, Snapshot, View
from lightchallenge_dagster.devnet.demo.scenario import (
    Missing,
    Stopped,
    Teller,
    World,
    called_off,
    coins,
    inbox_name,
    name_of,
    prepare,
    wallet,
)
from lightchallenge_dagster.devnet.demo.stack import AnotherDemo, Stack, Windows
from lightchallenge_dagster.devnet.deploy import Deployment
from lightchallenge_dagster.devnet.processes import Anvil, Postgres
from lightchallenge_dagster.devnet.supervisor import Supervisor
from lightchallenge_dagster.providers import apple_health
from lightchallenge_dagster.providers.canonical import as_records, parse_json

ETHER = 10**18


@pytest.fixture
def deployed(
    supervisor: Supervisor,
    postgres: Postgres,
    anvil: Anvil,
    devnet: Deployment,
    database_url: str,
    tmp_path: Path,
) -> Stack:
    """A stack without Dagster: what users, the web app and the chain need."""
    for name in ("inbox", "uploads"):
        (tmp_path / name).mkdir()
    return Stack(
        folder=tmp_path,
        supervisor=supervisor,
        postgres=postgres,
        anvil=anvil,
        deployment=devnet,
        database_url=database_url,
        dagster_db_url=postgres.url(),
        opendota_url="",
        inbox=tmp_path / "inbox",
        ui_url="",
        windows=Windows(pace=1, join_s=120, run_s=60, proof_s=60, margin_s=30, reserve_s=10),
        handles={"anvil": anvil.handle},
    )


def test_a_canceled_challenge_gives_every_stake_back(deployed: Stack) -> None:
    said: list[str] = []
    world = World(deployed, said.append)
    prepare(world)
    tell = Teller(world)
    called_off(tell)
    (challenge,) = world.challenges.values()
    chain = ChainFacts()
    chain.add(tell.client.events())
    rows = facts.challenges(tell.database)
    tell.close()

    assert tell.client.challenge(challenge.id).status == CANCELED
    assert chain.paid_out(challenge.id, wallet("Ivy").address) == ETHER
    assert chain.paid_out(challenge.id, wallet("Jon").address) == 4 * ETHER
    assert [(one.id, one.status, one.mode) for one in rows] == [
        (challenge.id, "Active", "threshold")
    ]
    assert set(said[-2:]) == {
        f"Ivy (a refund of #{challenge.id}) takes out 1 LCAI",
        f"Jon (a refund of #{challenge.id}) takes out 4 LCAI",
    }


def test_an_upload_appears_whole_under_its_name(deployed: Stack) -> None:
    world = World(deployed, lambda text: None)
    prepare(world)
    tell = Teller(world)
    called_off(tell)
    (challenge,) = world.challenges.values()
    tell.made("a.json").write_text("[]")
    tell.upload("Ivy", challenge, "garmin", tell.made("a.json"))
    tell.close()
    name = inbox_name(challenge.id, wallet("Ivy").address, "garmin", Path("a.json"))
    assert [path.name for path in deployed.inbox.iterdir()] == [name]


def test_waiting_ends_at_its_deadline_and_names_what_is_missing(deployed: Stack) -> None:
    tell = Teller(World(deployed, lambda text: None))
    with pytest.raises(Missing, match=r"not within 0 s: a miracle"):
        tell.wait("a miracle", lambda: False, deadline_s=0)
    tell.world.stop.set()
    with pytest.raises(Stopped):
        tell.wait("a miracle", lambda: False, deadline_s=60)
    tell.close()


def test_the_view_tells_each_step_once_where_there_is_no_terminal(deployed: Stack) -> None:
    world = World(deployed, lambda text: None)
    prepare(world)
    tell = Teller(world)
    called_off(tell)
    (row,) = facts.challenges(tell.database)
    tell.close()
    console = Console(record=True, width=200, force_terminal=False)
    diary = Diary(console)
    view = View(console, diary, "http://ui")
    chain = ChainFacts()
    chain.add(tell.client.events())
    snapshot = Snapshot(7, 0, [row], chain, Counter({"SUCCESS": 2}))
    with view.shown():
        view.update(snapshot)
        view.update(snapshot)
    told = console.export_text().splitlines()
    assert [line.split("  ", 1)[1].strip() for line in told] == [
        f"#{row.id} Sunrise walk (called off): joined · block 7 at 00:00:00 UTC · "
        "Dagster runs: 2 success"
    ]


def test_a_stage_is_the_last_that_was_reached() -> None:
    ivy, jon = wallet("Ivy").address, wallet("Jon").address
    chain = ChainFacts()
    chain.joined[7] = {ivy}

    def stage(**changes: object) -> str:
        values: dict[str, object] = {
            "id": 7, "title": "", "status": "Active", "chain_outcome": None, "mode": "threshold",
            "evidence": 0, "participants": frozenset(), "outcomes": {}, "job": None, "claims": 0,
        }  # fmt: skip
        return facts.stage(DatabaseChallenge(**(values | changes)), chain)  # pyright: ignore[reportArgumentType]

    assert stage() == "created"
    chain.joined[7].add(jon)
    assert stage() == "joined"
    assert stage(evidence=1) == "evidence"
    judged = {jon: Outcome(True, Decimal(3), None, None)}
    assert stage(evidence=1, outcomes=judged) == "verdicts"
    assert stage(outcomes={jon: Outcome(True, Decimal(3), 1, True)}) == "ranked"
    chain.bound[7].add(jon)
    assert stage(outcomes=judged) == "bound"
    chain.winners[7].add(jon)
    assert stage(outcomes=judged) == "proved"
    assert stage(outcomes=judged, status="Finalized") == "finalized"
    assert stage(outcomes=judged, status="Finalized", claims=2) == "claimed"


def test_the_report_ranks_and_names_everybody() -> None:
    ivy, jon = wallet("Ivy").address, wallet("Jon").address
    chain = ChainFacts()
    chain.joined[7] = {ivy, jon}
    chain.winners[7] = {jon}
    chain.claims[7, jon, "treasury_eth"] = 5
    row = DatabaseChallenge(
        7, "Race", "Finalized", 1, "competitive", 2, frozenset(),
        {ivy: Outcome(False, Decimal("2.50"), 2, False), jon: Outcome(True, Decimal(30), 1, True)},
        "done", 1,
    )  # fmt: skip
    assert report.rows([row], chain) == [
        ("#7 Race (Finalized)", "Jon", "pass, score 30", "1", "yes", "5"),
        ("#7 Race (Finalized)", "Ivy", "fail, score 2.5", "2", "no", "0"),
    ]


def test_an_apple_export_holds_what_the_user_did(tmp_path: Path) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    made = uploads.apple_health_export(
        tmp_path / "export.zip",
        'O\'Ada & "Co"',
        walks=[uploads.Walk(now - timedelta(minutes=80), now, 8412)],
        runs=[uploads.Run(now - timedelta(minutes=30), now, 5.25)],
    )
    with made.open("rb") as file:
        records = apple_health.read_zip(file, None).records
    assert sorted(
        (one["type"], one.get("steps_count"), one.get("distance_km")) for one in records
    ) == [
        ("run", None, 5.25),
        ("steps", 8412, None),
    ]


def test_canonical_files_are_lists_of_records(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    run = uploads.Run(now - timedelta(minutes=30), now, 5.25)
    made = uploads.canonical_runs(tmp_path / "runs.json", [run, run], prefix="x")
    records = as_records(parse_json(made.read_bytes()))
    assert [(one["activity_id"], one["distance_km"], one["duration_min"]) for one in records] == [
        ("x-1", 5.25, 30.0),
        ("x-2", 5.25, 30.0),
    ]


def test_amounts_are_never_rounded_up() -> None:
    assert [coins(wei) for wei in (0, ETHER, 5 * ETHER // 2, ETHER - 1)] == [
        "0 LCAI",
        "1 LCAI",
        "2.5 LCAI",
        "0.9999 LCAI",
    ]
    assert name_of("0x" + "ab" * 20) == "0xababab…abab"


def test_a_slow_machine_gets_longer_windows_and_the_ranking_closes_inside_them() -> None:
    for pace in (0.5, 1, 2.4):
        windows = Windows.at(pace)
        assert windows.reserve_s < windows.margin_s < windows.proof_s
        assert windows.join_s > stack.MIN_LEAD_S
    assert Windows.at(2).proof_s == 2 * Windows.at(1).proof_s


def test_no_variable_of_a_real_deployment_reaches_the_demo(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("DATABASE_URL", "LCAI_WORKER_PK", "NEXT_PUBLIC_RPC_URL", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "production")
    environment = stack.plain_environment()
    assert "production" not in environment.values()
    assert environment["PATH"] == os.environ["PATH"]


def test_two_demos_do_not_share_a_folder(tmp_path: Path) -> None:
    with (
        stack.only_one(tmp_path / "demo"),
        pytest.raises(AnotherDemo, match="already running"),
        stack.only_one(tmp_path / "demo"),
    ):
        pass


def test_a_folder_is_emptied_of_the_last_demo(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path.parent)
    stack.emptied(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["inbox", "logs", "uploads"]
    assert tmp_path.parent.exists()


def test_an_impossible_speed_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    begun = time.monotonic()
    with pytest.raises(SystemExit, match="2"):
        main(["--speed", "0"])
    assert "between 0.1 and 2" in capsys.readouterr().err
    assert time.monotonic() - begun < 5
