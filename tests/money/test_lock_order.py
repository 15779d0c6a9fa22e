"""Two workers at one intent never wait for each other: whoever writes locks the intent first."""

from __future__ import annotations

import threading
import time

from sqlalchemy import Engine, text

from lightchallenge_dagster.devnet.processes import Anvil
from lightchallenge_dagster.storage import outbox as storage
from lightchallenge_dagster.storage import sending
from tests.steps.test_outbox import a_gift, outbox

WAITS = text("select count(*) from pg_stat_activity where wait_event_type = 'Lock'")
KEY = "gift:1"


def test_a_broadcast_is_noted_while_another_worker_notes_the_receipt(
    database: Engine, anvil: Anvil
) -> None:
    outbox(database, anvil).submit([a_gift(anvil)])
    with database.begin() as connection:
        connection.execute(text("update pipeline.intents set status = 'broadcast'"))
        (tx,) = storage.transactions(connection, [KEY])[KEY]
    failures: list[BaseException] = []

    def note_broadcast() -> None:
        try:
            with database.begin() as other:
                sending.record_broadcast(other, tx, 1.0)
        except Exception as error:  # noqa: BLE001 — told below
            failures.append(error)

    with database.begin() as first:
        # As every writer of a receipt begins, and as it goes on.
        first.execute(
            text("select 1 from pipeline.intents where key = :key for update"), {"key": KEY}
        )
        thread = threading.Thread(target=note_broadcast)
        thread.start()
        deadline = time.monotonic() + 20
        while not _somebody_waits(database):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        first.execute(
            text("update pipeline.transactions set gas_used = 1 where hash = :hash"),
            {"hash": tx.hash},
        )
    thread.join(20)
    assert failures == []


def _somebody_waits(database: Engine) -> bool:
    with database.connect() as connection:
        return bool(connection.execute(WAITS).scalar_one())
