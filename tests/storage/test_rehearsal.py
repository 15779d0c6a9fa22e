"""A rehearsal takes everything back, and is in nobody's way for longer than it lasts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from lightchallenge_dagster.chain.signer import Signer
from lightchallenge_dagster.devnet.deploy import Deployment
from lightchallenge_dagster.steps.dispatch import dispatch
from lightchallenge_dagster.steps.outbox import Outbox
from lightchallenge_dagster.steps.request import request_inferences
from lightchallenge_dagster.storage.rehearsal import rehearsal
from tests import builders as b
from tests.steps.index_world import open_world
from tests.steps.money_world import Money, users

ANN, BOB = users("ann", "bob")


@pytest.fixture
def money(database: Engine, devnet: Deployment) -> Iterator[Money]:
    for world in open_world(database, devnet):
        yield Money.of(world)


def test_what_one_step_writes_the_next_one_sees_and_nobody_else_ever(database: Engine) -> None:
    with rehearsal(database) as engine:
        with engine.begin() as connection:
            connection.execute(text("insert into public.indexer_state values ('a', '1')"))
        with engine.connect() as connection:
            query = "select value from public.indexer_state where key = 'a'"
            assert connection.execute(text(query)).scalar_one() == "1"
        assert b.rows(database, "select * from public.indexer_state") == []
    assert b.rows(database, "select * from public.indexer_state") == []


def test_a_step_that_fails_takes_its_own_part_back_and_the_rehearsal_goes_on(
    database: Engine,
) -> None:
    with rehearsal(database) as engine:
        with pytest.raises(ZeroDivisionError), engine.begin() as connection:
            connection.execute(text("insert into public.indexer_state values ('a', '1')"))
            raise ZeroDivisionError
        with engine.begin() as connection:
            assert connection.execute(text("select count(*) from indexer_state")).scalar_one() == 0


def test_a_row_that_somebody_holds_ends_the_rehearsal_and_not_the_other(database: Engine) -> None:
    b.execute(database, "insert into public.indexer_state values ('a', '1')")
    update = text("update public.indexer_state set value = '2'")
    with database.begin() as other:
        other.execute(update)
        with (
            pytest.raises(OperationalError, match="lock timeout"),
            rehearsal(database) as engine,
            engine.begin() as connection,
        ):
            connection.execute(update)
    assert b.rows(database, "select value from public.indexer_state") == [("2",)]


def test_a_run_in_earnest_beside_an_open_dry_run_pays_once_and_only_waits(money: Money) -> None:
    challenge = money.challenge([ANN, BOB])
    money.passes(challenge, ANN)
    failed: list[BaseException] = []

    def in_earnest() -> None:
        try:
            money.dispatch()
            money.request()
        except BaseException as error:  # noqa: BLE001 - handed to the test
            failed.append(error)

    signers = [Signer(money.world.deployment.worker.key)]
    with rehearsal(money.engine) as engine:
        outbox = Outbox(engine, money.world.rpc, signers, money.policy, dry_run=True)
        assert dispatch(engine, money.now()).queued == [challenge]
        request_inferences(engine, money.world.contracts, outbox, money.requests)
        assert len(outbox.previews) == 1
        other = threading.Thread(target=in_earnest)
        other.start()
        wait_until(lambda: not other.is_alive() or somebody_waits(money.engine))
    other.join(30)
    assert not other.is_alive()
    assert failed == []
    money.request()
    assert money.job(challenge)["status"] == "submitted"
    assert len(money.events("aivm_inference", "InferenceRequestedV2")) == 1


def somebody_waits(engine: Engine) -> bool:
    query = """
        select exists (select from pg_stat_activity
                        where datname = current_database() and wait_event_type = 'Lock')
    """
    return bool(b.rows(engine, query)[0][0])


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
