"""A wallet's nonces are given out to one transaction at a time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection, Engine

from lightchallenge_dagster.storage import nonces, sending
from lightchallenge_dagster.storage import outbox as stored
from lightchallenge_dagster.storage.outbox import Intent, StoredTransaction
from tests.builders import CHAIN_ID, execute, rows, wallet
from tests.storage.overlap import Act, Stage, stage

ME, OTHER = wallet(1), wallet(2)


@pytest.fixture
def workers(database_url: str) -> Iterator[Stage]:
    with stage(database_url, 6) as made:
        yield made


def planned(engine: Engine, *keys: str, signer: str = ME) -> None:
    with engine.begin() as connection:
        intents = [Intent(key, "bind", signer, signer, "0x") for key in keys]
        stored.plan(connection, CHAIN_ID, intents)


def signed(
    connection: Connection, key: str, nonce: int, *, head: int = 7, signer: str = ME
) -> None:
    tx = StoredTransaction(
        hash=f"{key} at {nonce}, {head}",
        intent_key=key,
        signer=signer,
        nonce=nonce,
        raw="0x",
        gas=21_000,
        max_fee_per_gas=1,
        max_priority_fee_per_gas=1,
        signed_at=datetime.now(UTC),
        signed_block=head,
        broadcast_at=None,
        block_number=None,
        block_hash=None,
        receipt_status=None,
    )
    sending.record_signed(connection, CHAIN_ID, tx, 15)


def signing(key: str, *, mined: int = 0, pending: int = 0, signer: str = ME) -> Act:
    """Take a nonce and store what is signed with it, as the outbox does; the nonce."""

    def act(connection: Connection) -> int:
        nonce = nonces.take(connection, CHAIN_ID, signer, mined=mined, pending=pending)
        signed(connection, key, nonce, signer=signer)
        return nonce

    return act


def test_six_who_sign_at_once_take_six_nonces_without_a_hole(workers: Stage) -> None:
    keys = [f"effect {number}" for number in range(6)]
    planned(workers.engine, *keys)
    taken = workers.together([signing(key) for key in keys], order=range(6))
    assert sorted(taken) == list(range(6))


def test_a_nonce_of_one_who_died_before_it_was_stored_is_the_next_one_s(workers: Stage) -> None:
    planned(workers.engine, "dies", "lives")
    workers.together([signing("dies")], order=[0], dies=[0])
    assert workers.alone(signing("lives")) == 0


def test_nobody_waits_for_another_wallet(workers: Stage) -> None:
    planned(workers.engine, "mine")
    planned(workers.engine, "another's", signer=OTHER)
    # Both have done their work before either may commit: one that waited would get nonce 1.
    acts = [signing("mine"), signing("another's", signer=OTHER)]
    assert workers.together(acts, order=[1, 0]) == [0, 0]


def test_a_stale_count_gives_nothing_out_twice(workers: Stage) -> None:
    planned(workers.engine, "a", "b", "c")
    assert [workers.alone(signing(key, mined=4, pending=4)) for key in "ab"] == [4, 5]
    assert workers.alone(signing("c", mined=3, pending=0)) == 3


def test_two_effects_can_never_be_stored_with_one_nonce(workers: Stage) -> None:
    """Should the allocator fail, the database does not."""
    planned(workers.engine, "a", "b")
    workers.alone(lambda connection: signed(connection, "a", 5))
    with pytest.raises(Exception, match="intents_nonce_uq"):
        workers.alone(lambda connection: signed(connection, "b", 5))


def test_the_nonce_of_an_ousted_effect_is_not_held(workers: Stage) -> None:
    planned(workers.engine, "a", "b")
    workers.alone(signing("a"))
    workers.alone(signing("b"))
    assert workers.alone(lambda c: sending.record_ousted(c, "a", 0, "0xf00"))
    assert workers.alone(lambda c: nonces.held(c, CHAIN_ID, ME, 0)) == {1}
    query = "select status, nonce from pipeline.intents where key = 'a'"
    assert rows(workers.engine, query) == [("planned", None)]


def test_an_effect_is_not_ousted_by_a_transaction_of_ours(workers: Stage) -> None:
    planned(workers.engine, "a")
    workers.alone(signing("a"))
    assert not workers.alone(lambda c: sending.record_ousted(c, "a", 0, "a at 0, 7"))
    assert workers.alone(lambda c: nonces.held(c, CHAIN_ID, ME, 0)) == {0}


def test_an_effect_that_was_signed_anew_is_not_ousted_for_its_earlier_nonce(
    workers: Stage,
) -> None:
    planned(workers.engine, "a")
    workers.alone(signing("a"))
    assert workers.alone(lambda c: sending.record_ousted(c, "a", 0, "0xf00"))
    assert workers.alone(signing("a", mined=1, pending=1)) == 1
    assert not workers.alone(lambda c: sending.record_ousted(c, "a", 0, "0xf00"))
    assert workers.alone(lambda c: nonces.held(c, CHAIN_ID, ME, 0)) == {1}


def test_what_is_held_is_asked_of_one_wallet_from_a_count_on(workers: Stage) -> None:
    planned(workers.engine, "a", "b", "c")
    planned(workers.engine, "d", signer=OTHER)
    for key in "abc":
        workers.alone(signing(key))
    workers.alone(signing("d", signer=OTHER))
    assert workers.alone(lambda c: nonces.held(c, CHAIN_ID, ME, 1)) == {1, 2}
    assert workers.alone(lambda c: nonces.held(c, CHAIN_ID + 1, ME, 0)) == set()


def test_what_waits_is_told_with_the_head_it_was_first_signed_at(workers: Stage) -> None:
    planned(workers.engine, "a", "b")
    for nonce, key in enumerate("ab"):
        workers.alone(lambda c, k=key, n=nonce: signed(c, k, n, head=10 + n))
    workers.alone(lambda c: signed(c, "a", 0, head=14))
    assert workers.alone(lambda c: nonces.waiting(c, CHAIN_ID, ME)) == {0: 10, 1: 11}
    execute(workers.engine, "update pipeline.intents set status = 'mined' where key = 'a'")
    assert workers.alone(lambda c: nonces.waiting(c, CHAIN_ID, ME)) == {1: 11}


def test_the_table_of_signers_never_goes_back(workers: Stage) -> None:
    planned(workers.engine, "a", "b")
    workers.alone(signing("a", mined=6, pending=6))
    workers.alone(signing("b", mined=2, pending=2))
    assert rows(workers.engine, "select next_nonce from pipeline.signers") == [(7,)]
