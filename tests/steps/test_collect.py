"""Collection, from linked accounts to evidence rows: real PostgreSQL, real HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from lightchallenge_dagster.devnet.opendota import Server, World
from lightchallenge_dagster.providers.http import JsonApi
from lightchallenge_dagster.providers.opendota import STEAM64_OFFSET, OpenDota
from lightchallenge_dagster.steps.collect import CollectReport, collect, collection_due

NOW = datetime.now(UTC).replace(microsecond=0)
ALICE = "0x" + "a1" * 20
BOB = "0x" + "b0" * 20
HOUR = 3600


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(World()) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


def play(server: Server, account: int, match_id: int, at: datetime, **changes: Any) -> None:
    match = {"match_id": match_id, "start_time": int(at.timestamp()), "player_slot": 0}
    server.world.add(account, {**match, "radiant_win": True, "hero_id": 14, **changes})


def run(database: Engine, server: Server, now: datetime = NOW, lookback: int = 90) -> CollectReport:
    http = JsonApi(server.url, retries=1, backoff_s=0.001, max_wait_s=1)
    return collect(database, {"opendota": OpenDota(server.url, http=http)}, lookback, now)


def execute(database: Engine, statement: str, **values: Any) -> None:
    with database.begin() as connection:
        connection.execute(text(statement), values)


def rows(database: Engine, statement: str, **values: Any) -> list[Any]:
    with database.connect() as connection:
        return list(connection.execute(text(statement), values))


def a_challenge(
    database: Engine,
    challenge_id: int,
    *,
    status: str = "Active",
    chain_status: str = "Active",
    starts: float = -HOUR,
    ends: float = HOUR,
    deadline: float = 2 * HOUR,
    model_id: str | None = None,
) -> None:
    """A challenge that is on chain, with times in seconds from NOW."""
    execute(
        database,
        "insert into challenges (id, status, model_id) values (:id, :status, :model)",
        id=challenge_id,
        status=status,
        model=model_id,
    )
    base = NOW.timestamp()
    execute(
        database,
        """
        insert into pipeline.chain_challenges
            (challenge_id, chain_id, creator, kind, currency, token, stake_wei, join_closes_ts,
             start_ts, end_ts, proof_deadline_ts, max_participants, verifier, external_id, status,
             created_block, created_tx)
        values (:id, 504, '0x', 0, 0, '0x', 1, :starts, :starts, :ends, :deadline, 0, '0x', '0x',
                :status, 1, '0x')
        """,
        id=challenge_id,
        status=chain_status,
        starts=int(base + starts),
        ends=int(base + ends),
        deadline=int(base + deadline),
    )


def joined(database: Engine, challenge_id: int, subject: str) -> None:
    execute(
        database,
        """
        insert into participants (challenge_id, subject, tx_hash, joined_at, source)
        values (:id, :subject, '0x1', now(), 'onchain_join')
        """,
        id=challenge_id,
        subject=subject,
    )


def linked(
    database: Engine, subject: str, external_id: str | None, provider: str = "opendota"
) -> None:
    execute(
        database,
        "insert into linked_accounts (subject, provider, external_id) values (:s, :p, :e)",
        s=subject,
        p=provider,
        e=external_id,
    )


def evidence(database: Engine) -> list[Any]:
    return rows(
        database,
        "select challenge_id, subject, provider, data, raw_ref from evidence order by id",
    )


def test_a_participant_s_matches_become_evidence_once(database: Engine, server: Server) -> None:
    a_challenge(database, 7)
    joined(database, 7, ALICE)
    linked(database, ALICE, str(42 + STEAM64_OFFSET))
    play(server, 42, 1, NOW - timedelta(minutes=30))
    assert collection_due(database, NOW) == 1
    report = run(database, server)
    assert (report.accounts, report.fetched, report.inserted) == (1, 1, 1)
    assert report.challenges == [7]
    (row,) = evidence(database)
    assert (row.challenge_id, row.subject, row.provider) == (7, ALICE, "opendota")
    assert row.raw_ref == "opendota:42"
    assert row.data[0]["result_for_player"] == "win"
    again = run(database, server, NOW + timedelta(minutes=5))
    assert (again.inserted, again.unchanged) == (0, 1)
    assert len(evidence(database)) == 1
    assert again.by_provider == {"opendota": {"accounts": 1, "fetched": 1, "unchanged": 1}}


def test_a_new_match_makes_a_new_row(database: Engine, server: Server) -> None:
    a_challenge(database, 7)
    joined(database, 7, ALICE)
    linked(database, ALICE, "42")
    play(server, 42, 1, NOW - timedelta(minutes=30))
    run(database, server)
    play(server, 42, 2, NOW - timedelta(minutes=20))
    assert run(database, server, NOW + timedelta(minutes=5)).inserted == 1
    assert [len(row.data) for row in evidence(database)] == [1, 2]


def test_a_clock_set_back_does_not_hide_the_newer_evidence(
    database: Engine, server: Server
) -> None:
    a_challenge(database, 7)
    joined(database, 7, ALICE)
    linked(database, ALICE, "42")
    play(server, 42, 1, NOW - timedelta(minutes=30))
    run(database, server)
    play(server, 42, 2, NOW - timedelta(minutes=20))
    run(database, server, NOW - timedelta(minutes=10))
    newest = rows(database, "select data from evidence order by created_at desc limit 1")
    assert len(newest[0].data) == 2
    assert run(database, server, NOW - timedelta(minutes=5)).unchanged == 1


def test_only_matches_within_the_challenge_are_evidence(database: Engine, server: Server) -> None:
    a_challenge(database, 7, starts=-HOUR, ends=-HOUR / 2)
    joined(database, 7, ALICE)
    linked(database, ALICE, "42")
    play(server, 42, 1, NOW - timedelta(hours=3))
    play(server, 42, 2, NOW - timedelta(minutes=45))
    play(server, 42, 3, NOW - timedelta(minutes=10))
    run(database, server)
    (row,) = evidence(database)
    assert [record["match_id"] for record in row.data] == [2]


def test_no_match_within_the_challenge_inserts_nothing(database: Engine, server: Server) -> None:
    a_challenge(database, 7)
    joined(database, 7, ALICE)
    linked(database, ALICE, "42")
    assert run(database, server).empty == 1
    play(server, 42, 1, NOW - timedelta(hours=5))
    report = run(database, server)
    assert (report.fetched, report.empty, report.inserted) == (1, 1, 0)
    assert evidence(database) == []


def test_one_account_in_two_challenges_is_asked_about_once(
    database: Engine, server: Server
) -> None:
    for challenge_id in (7, 8):
        a_challenge(database, challenge_id)
        joined(database, challenge_id, ALICE)
    linked(database, ALICE, "42")
    play(server, 42, 1, NOW - timedelta(minutes=30))
    report = run(database, server)
    assert (report.accounts, report.fetched, report.inserted) == (1, 1, 2)
    assert server.world.requests.count("/api/players/42/matches") == 1


def test_a_match_beyond_the_lookback_stays_in_the_evidence(
    database: Engine, server: Server
) -> None:
    a_challenge(database, 7, starts=-20 * 86_400)
    joined(database, 7, ALICE)
    linked(database, ALICE, "42")
    play(server, 42, 1, NOW - timedelta(days=9, hours=23))
    run(database, server, lookback=10)
    play(server, 42, 2, NOW - timedelta(hours=1))
    run(database, server, lookback=5)
    assert [r["match_id"] for r in evidence(database)[-1].data] == [1, 2]


def test_a_history_that_turns_private_takes_nothing_back(database: Engine, server: Server) -> None:
    a_challenge(database, 7)
    joined(database, 7, ALICE)
    linked(database, ALICE, "42")
    play(server, 42, 1, NOW - timedelta(minutes=30))
    run(database, server)
    server.world.set_player(42, {"private": True})
    assert run(database, server, NOW + timedelta(minutes=5)).empty == 1
    assert len(evidence(database)) == 1


def test_the_steam_binding_gives_the_id_the_linked_account_lacks(
    database: Engine, server: Server
) -> None:
    a_challenge(database, 7)
    joined(database, 7, ALICE)
    linked(database, ALICE.upper().replace("0X", "0x"), None, provider="OpenDota")
    execute(
        database,
        "insert into identity_bindings (wallet, platform, platform_id, ts) values (:w, 'steam',"
        " :p, 1)",
        w=ALICE,
        p=str(42 + STEAM64_OFFSET),
    )
    play(server, 42, 1, NOW - timedelta(minutes=30))
    assert run(database, server).inserted == 1
    assert evidence(database)[0].subject == ALICE


def test_an_account_without_any_id_is_reported_and_launches_nothing(
    database: Engine, server: Server
) -> None:
    a_challenge(database, 7)
    joined(database, 7, ALICE)
    linked(database, ALICE, None)
    assert collection_due(database, NOW) == 0
    (message,) = run(database, server).failed
    assert ALICE in message and "link it again" in message


def test_one_bad_account_does_not_stop_the_others(database: Engine, server: Server) -> None:
    a_challenge(database, 7)
    for subject, external_id in ((ALICE, "no steam id"), (BOB, "43")):
        joined(database, 7, subject)
        linked(database, subject, external_id)
    play(server, 43, 1, NOW - timedelta(minutes=30))
    report = run(database, server)
    assert report.inserted == 1
    assert len(report.failed) == 1 and "no steam id" in report.failed[0]


def test_an_outage_for_one_account_is_reported_and_the_next_is_collected(
    database: Engine, server: Server
) -> None:
    a_challenge(database, 7)
    for subject, external_id in ((ALICE, "42"), (BOB, "43")):
        joined(database, 7, subject)
        linked(database, subject, external_id)
    play(server, 43, 1, NOW - timedelta(minutes=30))
    server.world.trouble({"status": 500, "times": 99, "path": "/players/42/"})
    report = run(database, server)
    assert report.inserted == 1
    assert ["account 42" in message for message in report.failed] == [True]


def test_a_provider_that_refuses_more_is_asked_no_further_in_this_run(
    database: Engine, server: Server
) -> None:
    a_challenge(database, 7)
    for number in range(5):
        subject = f"0x{number:040x}"
        joined(database, 7, subject)
        linked(database, subject, str(100 + number))
    server.world.limit(0)
    report = run(database, server)
    assert report.accounts == 1
    assert report.by_provider["opendota"]["failed"] == 5
    assert "4 more accounts" in report.failed[-1]


def test_a_database_with_one_row_a_provider_has_that_row_updated(
    database: Engine, server: Server
) -> None:
    execute(
        database,
        "create unique index one_a_provider on evidence (challenge_id, lower(subject), provider)",
    )
    a_challenge(database, 7)
    joined(database, 7, ALICE)
    linked(database, ALICE, "42")
    play(server, 42, 1, NOW - timedelta(minutes=30))
    run(database, server)
    play(server, 42, 2, NOW - timedelta(minutes=20))
    assert run(database, server, NOW + timedelta(minutes=5)).inserted == 1
    (row,) = rows(database, "select data, created_at, updated_at from evidence")
    assert len(row.data) == 2
    assert row.created_at == NOW
    assert row.updated_at == NOW + timedelta(minutes=5)


def test_a_participant_from_the_chain_is_not_downgraded(database: Engine, server: Server) -> None:
    a_challenge(database, 7)
    joined(database, 7, ALICE)
    linked(database, ALICE, "42")
    play(server, 42, 1, NOW - timedelta(minutes=30))
    run(database, server)
    (row,) = rows(database, "select source, tx_hash from participants")
    assert (row.source, row.tx_hash) == ("onchain_join", "0x1")


@pytest.mark.parametrize(
    ("changes", "due"),
    [
        ({}, 1),
        ({"status": "approved"}, 1),
        ({"status": "ACTIVE"}, 1),
        ({"status": "Finalized"}, 0),
        ({"status": "canceled"}, 0),
        ({"status": "rejected"}, 0),
        ({"status": "Paused"}, 0),
        ({"status": "pending"}, 0),
        ({"chain_status": "Finalized"}, 0),
        ({"chain_status": "Canceled"}, 0),
        ({"starts": 60}, 0),
        ({"ends": -60, "deadline": 60}, 1),
        ({"ends": -60, "deadline": -1}, 0),
    ],
)
def test_collection_is_due_while_a_challenge_runs_and_never_after(
    database: Engine, changes: dict[str, Any], due: int
) -> None:
    a_challenge(database, 7, **changes)
    joined(database, 7, ALICE)
    linked(database, ALICE, "42")
    assert collection_due(database, NOW) == due


def test_nothing_is_due_without_participant_or_collectable_account(database: Engine) -> None:
    a_challenge(database, 7)
    joined(database, 7, ALICE)
    linked(database, ALICE, "42", provider="garmin")
    linked(database, BOB, "43")
    assert collection_due(database, NOW) == 0


def test_a_model_that_lists_other_sources_needs_no_collection(database: Engine) -> None:
    execute(
        database,
        """
        insert into models (id, label, kind, model_hash, verifier, binding, signals, params_schema,
                            sources, file_accept)
        values ('steps', '', 'aivm', '', '', true, '[]', '{}', '["apple"]', '[]'),
               ('dota', '', 'aivm', '', '', true, '[]', '{}', '["OpenDota"]', '[]')
        """,
    )
    a_challenge(database, 7, model_id="steps")
    a_challenge(database, 8, model_id="dota")
    for challenge_id in (7, 8):
        joined(database, challenge_id, ALICE)
    linked(database, ALICE, "42")
    assert collection_due(database, NOW) == 1


def test_without_a_chain_row_the_plan_s_times_decide(database: Engine) -> None:
    for challenge_id, starts in ((7, -1), (8, 1)):
        execute(
            database, "insert into challenges (id, status) values (:id, 'active')", id=challenge_id
        )
        execute(
            database,
            """
            insert into pipeline.challenge_plans
                (challenge_id, config_hash, mode, top_n, starts_at, ends_at, partition_key)
            values (:id, '', 'threshold', 1, :starts, :ends, 'unscheduled')
            """,
            id=challenge_id,
            starts=NOW + timedelta(hours=starts),
            ends=NOW + timedelta(hours=starts + 2),
        )
        joined(database, challenge_id, ALICE)
    linked(database, ALICE, "42")
    assert collection_due(database, NOW) == 1


def test_a_chain_clock_ahead_of_ours_decides(database: Engine) -> None:
    a_challenge(database, 7, starts=60, ends=120, deadline=180)
    joined(database, 7, ALICE)
    linked(database, ALICE, "42")
    assert collection_due(database, NOW) == 0
    execute(
        database,
        "insert into pipeline.chain_blocks values (504, 1, '0x1', '0x0', :at, 0)",
        at=int(NOW.timestamp()) + 90,
    )
    assert collection_due(database, NOW) == 1


@pytest.mark.parametrize(
    "data",
    ["[null]", '["x", 7]', '[{"match_id": 1}]', '[{"start_time": "yesterday", "match_id": 1}]',
     '[{"start_time": 1, "match_id": 1, "duration_s": "long"}]', '"x"', "null", "[[]]"],
)  # fmt: skip
def test_a_row_of_another_shape_under_our_reference_is_not_carried_over_and_stops_nobody(
    database: Engine, server: Server, data: str
) -> None:
    a_challenge(database, 7)
    for wallet, account in ((ALICE, "42"), (BOB, "43")):
        joined(database, 7, wallet)
        linked(database, wallet, account)
        play(server, int(account), int(account), NOW - timedelta(minutes=30))
    execute(
        database,
        "insert into evidence (challenge_id, subject, provider, data, evidence_hash, raw_ref) "
        "values (7, :s, 'opendota', cast(:data as jsonb), '0x01', 'opendota:42')",
        s=ALICE,
        data=data,
    )
    report = run(database, server)
    assert (report.inserted, report.failed) == (2, [])


def test_what_the_database_refuses_about_one_wallet_does_not_hold_up_the_others(
    database: Engine, server: Server
) -> None:
    a_challenge(database, 7)
    for wallet, account in ((ALICE, "42"), (BOB, "43")):
        joined(database, 7, wallet)
        linked(database, wallet, account)
        play(server, int(account), int(account), NOW - timedelta(minutes=30))
    execute(database, f"alter table evidence add constraint no_alice check (subject <> '{ALICE}')")
    report = run(database, server)
    assert report.inserted == 1
    (message,) = report.failed
    assert ALICE in message
    assert "no_alice" in message
