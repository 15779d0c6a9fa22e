"""One holder at a time, on the database's clock."""

from __future__ import annotations

import threading

from sqlalchemy import Engine, text

from lightchallenge_dagster.storage import leases


def acquire(database: Engine, holder: str, ttl_s: float = 60) -> int | None:
    with database.begin() as connection:
        return leases.acquire(connection, "follower", holder, ttl_s)


def expire(database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(text("update pipeline.leases set expires_at = now() - interval '1 s'"))


def test_a_living_lease_keeps_everybody_else_out(database: Engine) -> None:
    assert acquire(database, "a") == 1
    assert acquire(database, "b") is None


def test_every_acquisition_has_a_larger_token(database: Engine) -> None:
    tokens: list[int | None] = []
    for holder in ("a", "b", "a"):
        tokens.append(acquire(database, holder))
        expire(database)
    assert tokens == [1, 2, 3]


def test_a_holder_may_take_its_own_lease_again_and_fences_out_its_earlier_self(
    database: Engine,
) -> None:
    first = acquire(database, "a")
    second = acquire(database, "a")
    assert first is not None
    assert second is not None
    assert second > first
    with database.begin() as connection:
        assert not leases.renew(connection, "follower", first, 60)
        assert leases.renew(connection, "follower", second, 60)


def test_an_expired_lease_cannot_be_renewed(database: Engine) -> None:
    token = acquire(database, "a")
    assert token is not None
    expire(database)
    with database.begin() as connection:
        assert not leases.renew(connection, "follower", token, 60)


def test_a_released_lease_is_free_and_its_tokens_still_grow(database: Engine) -> None:
    token = acquire(database, "a")
    assert token is not None
    with database.begin() as connection:
        leases.release(connection, "follower", token)
    assert acquire(database, "b") == token + 1


def test_whoever_lost_the_lease_cannot_release_it(database: Engine) -> None:
    token = acquire(database, "a")
    assert token is not None
    expire(database)
    assert acquire(database, "b") == token + 1
    with database.begin() as connection:
        leases.release(connection, "follower", token)
    assert acquire(database, "c") is None


def test_of_many_at_once_exactly_one_gets_it(database: Engine) -> None:
    taken: list[int | None] = []

    def compete(name: str) -> None:
        taken.append(acquire(database, name))

    threads = [threading.Thread(target=compete, args=(f"holder {n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(t for t in taken if t is not None) == [1]
