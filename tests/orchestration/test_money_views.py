"""What the pages of the queue and the transactions show of money."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine

from lightchallenge_dagster.assets.money_views import queue_shown, transactions_shown
from tests import builders as b

WORKER, FINALIZER = "0x" + "aa" * 20, "0x" + "bb" * 20
NOW = datetime.now(UTC)
GWEI = 10**9


def sent(
    database: Engine,
    key: str,
    *,
    signer: str = WORKER,
    value_wei: int = 0,
    status: str = "confirmed",
    mined: bool = True,
    succeeded: bool = True,
    at: datetime = NOW,
    nonce: int = 0,
) -> None:
    """One intent with one transaction that used 100,000 gas at 2 gwei."""
    b.insert(
        database,
        "pipeline.intents",
        key=key,
        chain_id=504,
        kind=key.split(":")[0],
        signer=signer,
        to_address=WORKER,
        data="0x",
        value_wei=value_wei,
        nonce=nonce,
        status=status,
    )
    b.insert(
        database,
        "pipeline.transactions",
        hash=f"0x{key}",
        intent_key=key,
        chain_id=504,
        signer=signer,
        nonce=nonce,
        raw="0x",
        gas=125_000,
        max_fee_per_gas=3 * GWEI,
        signed_at=at,
        block_number=7 if mined else None,
        receipt_status=int(succeeded) if mined else None,
        gas_used=100_000 if mined else None,
        effective_gas_price=2 * GWEI if mined else None,
    )


def test_the_queue_is_counted_by_status_in_the_order_a_job_goes_through_them(
    database: Engine,
) -> None:
    for number, (status, attempts) in enumerate(
        [("dead", 10), ("queued", 0), ("done", 1), ("queued", 2)], start=1
    ):
        b.insert(
            database,
            "public.aivm_jobs",
            challenge_id=number,
            status=status,
            attempts=attempts,
            updated_at=datetime(2026, 5, number, tzinfo=UTC),
        )
    lines = queue_shown(database)["queue"].value.splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert [row[:3] for row in cells] == [
        ["queued", "2", "2"],
        ["done", "1", "1"],
        ["dead", "1", "10"],
    ]
    assert cells[0][3].startswith("2026-05-02")


def test_what_was_spent_is_values_and_gas_of_what_blocks_hold(database: Engine) -> None:
    sent(database, "request:1:1", value_wei=10**15)
    sent(database, "request:2:1", value_wei=10**15, succeeded=False, status="reverted", nonce=1)
    sent(database, "request:3:1", value_wei=10**15, mined=False, status="broadcast", nonce=2)
    sent(database, "finalize:1", signer=FINALIZER, at=NOW - timedelta(days=3))
    shown = transactions_shown(database)
    # 0.001 + three times 0.0002 of gas; the reverted one kept its value.
    assert "0.0016 LCAI in the last 30 days" in shown["spend"].value
    assert "data:image/png;base64," in shown["spend"].value
    worker, finalizer = shown["wallets"].value.splitlines()[2:]
    assert WORKER in worker
    assert "0.0014 LCAI" in worker
    assert FINALIZER in finalizer
    assert "| 0 LCAI |" in finalizer


def test_nothing_is_shown_before_there_is_something(database: Engine) -> None:
    assert queue_shown(database) == {}
    assert transactions_shown(database) == {}
