"""The upload inbox: real files, real PostgreSQL."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from lightchallenge_dagster.rules.evidence import evidence_hash
from lightchallenge_dagster.steps.intake import take_in, waiting
from tests.providers.apple import export_xml, export_zip, steps

NOW = datetime.now(UTC) + timedelta(minutes=1)
ALICE = "0x" + "a1" * 20
BOB = "0x" + "b0" * 20
RUN = {"type": "run", "start": "2026-01-02T08:00:00Z", "distance_km": 5.0, "duration_min": 30}


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


def put(inbox: Path, name: str, content: bytes, age_s: float = 5) -> Path:
    path = inbox / name
    path.write_bytes(content)
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def envelope(**changes: Any) -> bytes:
    whole = {"challenge_id": 42, "subject": ALICE, "provider": "strava", "records": [RUN]}
    return as_json({**whole, **changes})


def rows(database: Engine, statement: str) -> list[Any]:
    with database.connect() as connection:
        return list(connection.execute(text(statement)))


def evidence(database: Engine) -> list[Any]:
    return rows(database, "select * from evidence order by id")


def only_reason(inbox: Path) -> str:
    (path,) = (inbox / "rejected").glob("*.reason.txt")
    return path.read_text(encoding="utf-8")


def test_a_health_export_becomes_evidence_and_its_sender_a_participant(
    database: Engine, inbox: Path
) -> None:
    name = f"42__{ALICE}__apple.zip"
    put(inbox, name, export_zip([steps(1500, "2026-01-02 08:00:00 +0200")]))
    assert waiting(inbox) == 1
    report = take_in(database, inbox, NOW)
    assert (report.files, report.stored, report.records) == (1, 1, 1)
    assert (report.challenges, report.partitions) == ([42], ["unscheduled"])
    (row,) = evidence(database)
    assert (row.challenge_id, row.subject, row.provider) == (42, ALICE, "apple")
    assert row.data == [
        {"type": "steps", "start": "2026-01-02T08:00:00+02:00", "steps_count": 1500}
    ]
    assert row.evidence_hash == evidence_hash(row.data)
    (member,) = rows(database, "select * from participants")
    assert (member.subject, member.source) == (ALICE, "evidence_intake")
    assert (member.tx_hash, member.joined_at) == (None, None)
    (file,) = rows(database, "select * from pipeline.inbox_files")
    assert (file.name, file.outcome, file.challenge_id) == (name, "stored", 42)
    assert row.raw_ref == f"inbox:{name}#sha256={file.sha256}"
    assert waiting(inbox) == 0
    assert (inbox / "done" / name).exists()


def test_an_envelope_says_itself_where_it_belongs(database: Engine, inbox: Path) -> None:
    put(inbox, "upload-1f0a.json", envelope(subject=ALICE.upper().replace("0X", "0x")))
    assert take_in(database, inbox, NOW).stored == 1
    (row,) = evidence(database)
    assert (row.subject, row.provider, row.data) == (ALICE, "strava", [RUN])


def test_a_list_of_records_goes_where_its_name_says(database: Engine, inbox: Path) -> None:
    put(inbox, f"42__{ALICE}__garmin__anything-unique.json", as_json([RUN]))
    put(
        inbox, f"42__{ALICE}__Apple_Health.XML", export_xml([steps(5, "2026-01-02 08:00:00 +0200")])
    )
    assert take_in(database, inbox, NOW).stored == 2
    assert sorted(row.provider for row in evidence(database)) == ["apple", "garmin"]


def test_the_same_evidence_is_not_stored_again(database: Engine, inbox: Path) -> None:
    put(inbox, "first.json", envelope())
    take_in(database, inbox, NOW)
    put(inbox, "second.json", envelope(records=[dict(reversed(RUN.items()))]))
    report = take_in(database, inbox, NOW)
    assert (report.stored, report.unchanged) == (0, 1)
    assert len(evidence(database)) == 1
    assert [row.outcome for row in rows(database, "select outcome from pipeline.inbox_files")] == [
        "stored",
        "unchanged",
    ]


def test_a_crash_between_commit_and_move_is_harmless(database: Engine, inbox: Path) -> None:
    put(inbox, "upload.json", envelope())
    take_in(database, inbox, NOW)
    # As it would be had the process died before the move.
    (inbox / "done" / "upload.json").rename(inbox / "upload.json")
    os.utime(inbox / "upload.json", (time.time() - 5,) * 2)
    assert take_in(database, inbox, NOW).unchanged == 1
    assert len(evidence(database)) == 1
    assert waiting(inbox) == 0


def test_the_same_name_twice_keeps_both_files(database: Engine, inbox: Path) -> None:
    for distance in (1, 2, 3):
        put(inbox, "upload.json", envelope(records=[{**RUN, "distance_km": distance}]))
        take_in(database, inbox, NOW)
    assert sorted(path.name for path in (inbox / "done").iterdir()) == [
        "upload.1.json",
        "upload.2.json",
        "upload.json",
    ]


def test_a_batch_keeps_the_order_of_arrival(database: Engine, inbox: Path) -> None:
    for wallet in (BOB, ALICE):
        put(inbox, f"{'z' if wallet == BOB else 'a'}.json", envelope(subject=wallet))
        time.sleep(0.02)
    now = datetime.now(UTC)
    take_in(database, inbox, now)
    first, second = evidence(database)
    assert (first.subject, second.subject) == (BOB, ALICE)
    assert first.created_at < second.created_at <= now


def test_only_what_lies_within_the_challenge_on_chain_is_kept(
    database: Engine, inbox: Path
) -> None:
    start = int(datetime(2026, 1, 2, tzinfo=UTC).timestamp())
    with database.begin() as connection:
        connection.execute(
            text("""
            insert into pipeline.chain_challenges
                (challenge_id, chain_id, creator, kind, currency, token, stake_wei, join_closes_ts,
                 start_ts, end_ts, proof_deadline_ts, max_participants, verifier, external_id,
                 status, created_block, created_tx)
            values (42, 504, '0x', 0, 0, '0x', 1, :at, :at, :at + 86400, :at + 90000, 0, '0x',
                    '0x', 'Active', 1, '0x')
            """),
            {"at": start},
        )
    days = [steps(n, f"2026-01-0{n} 12:00:00 +0000") for n in (1, 2, 3, 4)]
    put(inbox, f"42__{ALICE}__apple.zip", export_zip(days))
    put(inbox, f"42__{BOB}__apple.zip", export_zip(days[2:]))
    report = take_in(database, inbox, NOW)
    (row,) = evidence(database)
    assert [record["steps_count"] for record in row.data] == [2]
    assert report.skipped == {"outside the challenge's time": 3}
    assert "during the challenge; left out: 2 outside" in report.rejected[0][1]


def test_a_preview_makes_nobody_a_participant(database: Engine, inbox: Path) -> None:
    put(inbox, "preview.json", envelope(challenge_id=0))
    assert take_in(database, inbox, NOW).stored == 1
    assert rows(database, "select 1 from participants") == []


def test_a_participant_from_the_chain_stays_one(database: Engine, inbox: Path) -> None:
    with database.begin() as connection:
        connection.execute(
            text(
                "insert into participants (challenge_id, subject, tx_hash, joined_at, source)"
                " values (42, :subject, '0x1', now(), 'onchain_join')"
            ),
            {"subject": ALICE.upper().replace("0X", "0x")},
        )
    put(inbox, "upload.json", envelope())
    take_in(database, inbox, NOW)
    (member,) = rows(database, "select * from participants")
    assert (member.source, member.tx_hash) == ("onchain_join", "0x1")


def test_one_row_a_provider_is_updated_where_the_database_wants_it(
    database: Engine, inbox: Path
) -> None:
    with database.begin() as connection:
        connection.execute(
            text("create unique index own on evidence (challenge_id, lower(subject), provider)")
        )
    put(inbox, "one.json", envelope())
    take_in(database, inbox, NOW)
    (before,) = evidence(database)
    put(inbox, "two.json", envelope(records=[RUN, {**RUN, "start": "2026-01-03"}]))
    assert take_in(database, inbox, NOW).stored == 1
    (after,) = evidence(database)
    assert len(after.data) == 2
    assert after.id == before.id and after.created_at == before.created_at


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("notes.txt", b"hello", "kind is not known"),
        ("noextension", b"hello", "kind is not known"),
        ("export.zip", export_zip([]), "does not say where it belongs"),
        ("list.json", as_json([RUN]), "does not say where it belongs"),
        (f"x__{ALICE}__apple.zip", export_zip([]), "no challenge id"),
        (f"{2**63}__{ALICE}__apple.zip", export_zip([]), "no challenge id"),
        (f"{'9' * 90}__{ALICE}__apple.zip", export_zip([]), "no challenge id"),
        ("42__0x123__apple.zip", export_zip([]), "no wallet"),
        (f"42__{'0x' + '0' * 40}__apple.zip", export_zip([]), "zero address"),
        (f"42__{ALICE}__nokia.zip", export_zip([]), "no provider that is known"),
        (f"42__{ALICE}__strava.zip", export_zip([]), "cannot be read"),
        (f"42__{ALICE}__apple.zip", export_zip([]), "holds no steps"),
        (f"42__{ALICE}__apple.zip", b"PK\x03\x04 and then nothing", "damaged or incomplete"),
        (f"42__{ALICE}__apple.zip", b"", "empty"),
        (f"42__{ALICE}__strava.json", b"[]", "nothing to judge"),
        (f"42__{BOB}__strava.json", envelope(), "disagree"),
        ("a.json", envelope(challenge_id=-1), "no challenge id"),
        ("a.json", envelope(challenge_id=True), "no challenge id"),
        ("a.json", envelope(challenge_id=1.5), "no challenge id"),
        ("a.json", envelope(subject=None), "no wallet"),
        ("a.json", envelope(provider=["strava"]), "no provider"),
        ("a.json", envelope(records="many"), "not a list"),
        ("a.json", envelope(records=[{"steps": float("nan")}]), "NaN"),
        ("a.json", envelope(records=[{"steps": 10**400}]), "401 digits"),
        ("a.json", envelope(records=[{"note": "\0"}]), "cannot be stored"),
        ("a.json", b'{"challenge_id": 1', "cannot be read"),
        ("a.json", b"\xff\xfe\x00", "not UTF-8"),
    ],
)
def test_a_bad_file_is_set_aside_with_a_readable_reason(
    database: Engine, inbox: Path, name: str, content: bytes, reason: str
) -> None:
    put(inbox, name, content, age_s=90)
    report = take_in(database, inbox, NOW)
    assert [file for file, _ in report.rejected] == [name]
    assert reason in report.rejected[0][1]
    assert reason in only_reason(inbox)
    assert (inbox / "rejected" / name).read_bytes() == content
    (row,) = rows(database, "select * from pipeline.inbox_files")
    assert (row.outcome, row.reason) == ("rejected", report.rejected[0][1])
    assert evidence(database) == []
    assert waiting(inbox) == 0


def test_a_bad_file_does_not_hold_up_the_good_ones(database: Engine, inbox: Path) -> None:
    put(inbox, "a.json", b"nonsense")
    put(inbox, "b.json", envelope())
    report = take_in(database, inbox, NOW)
    assert (report.files, report.stored, len(report.rejected)) == (2, 1, 1)


def test_what_is_still_being_written_is_left_alone(database: Engine, inbox: Path) -> None:
    put(inbox, "fresh.json", envelope(), age_s=0)
    put(inbox, "growing.json", b"", age_s=5)
    put(inbox, ".hidden.json", envelope())
    put(inbox, "upload.json.part", envelope())
    put(inbox, "upload.json.tmp", envelope())
    (inbox / "folder.json").mkdir()
    assert waiting(inbox) == 0
    assert take_in(database, inbox, NOW).files == 0
    assert len(list(inbox.iterdir())) == 6


def test_a_time_stamp_in_the_future_does_not_keep_a_file_waiting(inbox: Path) -> None:
    put(inbox, "upload.json", envelope(), age_s=-86_400)
    assert waiting(inbox) == 1


def test_the_heart_beats_while_a_large_export_is_read(
    database: Engine, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(range(0, 10**6, 20))
    clock = SimpleNamespace(monotonic=lambda: next(ticks))
    monkeypatch.setattr("lightchallenge_dagster.steps.intake.time", clock)
    put(inbox, f"42__{ALICE}__apple.xml", export_xml([steps(1, "2026-01-02 08:00:00 +0200")]))
    beats: list[None] = []
    take_in(database, inbox, NOW, lambda: beats.append(None))
    assert len(beats) >= 2


def test_no_inbox_is_an_empty_inbox(database: Engine, tmp_path: Path) -> None:
    assert waiting(tmp_path / "none") == 0
    assert take_in(database, tmp_path / "none", NOW).files == 0


def test_links_and_pipes_are_never_followed(database: Engine, inbox: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_bytes(envelope())
    (inbox / "link.json").symlink_to(secret)
    os.utime(inbox / "link.json", (time.time() - 90,) * 2, follow_symlinks=False)
    os.mkfifo(inbox / "pipe.json")
    os.utime(inbox / "pipe.json", (time.time() - 90,) * 2)
    report = take_in(database, inbox, NOW)
    assert sorted(reason for _, reason in report.rejected) == [
        "it is a symbolic link; send the file itself",
        "it is no regular file",
    ]
    assert secret.exists()
    assert evidence(database) == []


def test_a_name_that_is_no_text_or_too_long_is_no_obstacle(database: Engine, inbox: Path) -> None:
    strange = os.fsdecode(b"\xff\xfe" + b"x" * 240 + b".json")
    put(inbox, strange, envelope())
    put(inbox, "n" * 250 + ".txt", b"x")
    report = take_in(database, inbox, NOW)
    assert (report.stored, len(report.rejected)) == (1, 1)
    assert waiting(inbox) == 0
    assert len(list((inbox / "rejected").iterdir())) == 2


def test_the_partition_is_the_day_the_plan_says(database: Engine, inbox: Path) -> None:
    with database.begin() as connection:
        connection.execute(
            text("""
            insert into pipeline.challenge_plans
                (challenge_id, config_hash, mode, top_n, partition_key)
            values (42, '', 'threshold', 1, '2026-01-03')
            """)
        )
    put(inbox, "upload.json", envelope())
    assert take_in(database, inbox, NOW).partitions == ["2026-01-03"]


_NAMES = st.sampled_from(
    [f"42__{ALICE}__apple.zip", f"42__{ALICE}__apple.xml", f"42__{ALICE}__strava.json", "a.json"]
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_CONTENTS = (
    st.binary(min_size=1, max_size=200)
    | st.builds(as_json, _JSON | st.lists(st.dictionaries(st.text(), _JSON, max_size=3)))
    | st.builds(
        lambda records: as_json(
            {"challenge_id": 1, "subject": ALICE, "provider": "manual", "records": records}
        ),
        st.lists(st.dictionaries(st.text(), _JSON, max_size=3), max_size=3),
    )
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(_NAMES, _CONTENTS), min_size=1, max_size=4))
def test_whatever_arrives_is_stored_or_rejected_with_a_reason(
    database: Engine, inbox: Path, files: list[tuple[str, bytes]]
) -> None:
    for number, (name, content) in enumerate(files):
        stem, _, extension = name.rpartition(".")
        put(inbox, f"{stem}__{number}.{extension}", content)
    report = take_in(database, inbox, NOW)
    assert report.files == len(files)
    assert report.stored + report.unchanged + len(report.rejected) == len(files)
    assert all(reason for _, reason in report.rejected)
    assert waiting(inbox) == 0


def test_an_upload_that_a_constraint_refuses_is_set_aside_and_the_next_is_taken(
    database: Engine, inbox: Path
) -> None:
    """A database may tie evidence to its challenge; an upload for an unknown one then fails."""
    with database.begin() as connection:
        connection.execute(text("insert into challenges (id) values (42)"))
        connection.execute(
            text(
                "alter table evidence add constraint evidence_challenge_fk "
                "foreign key (challenge_id) references challenges (id)"
            )
        )
    put(inbox, "unknown.json", envelope(challenge_id=43), age_s=9)
    put(inbox, "good.json", envelope())
    report = take_in(database, inbox, NOW)
    assert (report.stored, len(report.rejected)) == (1, 1)
    assert "evidence_challenge_fk" in only_reason(inbox)
    assert rows(database, "select name from pipeline.inbox_files where outcome = 'rejected'") == [
        ("unknown.json",)
    ]
