"""Workers whose transactions truly overlap: threads that act and then wait before they commit.

Each act runs in a thread and a transaction of its own. ``together`` starts all of them, waits until
each has done its work or waits for another's lock, and only then lets them commit, one after the
other in the order asked for. So every act sees the database as it was before any of the others had
ended, which is where queues and allocators go wrong.

A *late* act is held up in the middle of a statement, with the database before its eyes as it was
when the statement began (``hold_up_in``), until all the others have ended.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, text

from lightchallenge_dagster.storage.database import connect

PATIENCE_S = 20.0
"""Nothing here takes a tenth of it: what does, waits for ever."""

Act = Callable[[Connection], Any]


_HELD_UP = """
    create or replace function held_up() returns boolean language plpgsql volatile as $$
    begin
        if current_setting('overlap.late', true) = 'on' then
            perform pg_advisory_lock_shared(7);
            perform pg_advisory_unlock_shared(7);
        end if;
        return true;
    end $$
"""


class Died(Exception):
    """The worker's process ended here: its transaction is rolled back."""


@dataclass(slots=True)
class _Performance:
    """One act under way: ``done`` when it only waits to be let go."""

    survives: bool
    late: bool
    done: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)
    future: Future[Any] | None = None


class Stage:
    """A database with workers on it, each a thread."""

    def __init__(self, url: str, workers: int) -> None:
        self.engine: Engine = connect(url, pool_size=workers + 2)
        self._threads = ThreadPoolExecutor(workers)
        self.workers = workers
        with self.engine.connect() as connection:
            (self._database,) = connection.execute(text("select current_database()")).one()

    def close(self) -> None:
        self._threads.shutdown()
        self.engine.dispose()

    def alone(self, act: Act) -> Any:
        """One act, with nobody else around."""
        with self.engine.begin() as connection:
            return act(connection)

    def hold_up_in(self, view: str) -> None:
        """Let late acts be held up while they read ``view``."""
        with self.engine.begin() as connection:
            connection.execute(text(_HELD_UP))
            (body,) = connection.execute(
                text("select pg_get_viewdef(cast(:view as regclass))"), {"view": view}
            ).one()
            slowed = f"select * from ({body.rstrip(';')}) seen where held_up()"  # noqa: S608 — the view's own text
            connection.exec_driver_sql(f"create or replace view {view} as {slowed}")

    def together(
        self,
        acts: Sequence[Act],
        order: Sequence[int],
        dies: Sequence[int] = (),
        late: int | None = None,
    ) -> list[Any]:
        """What each act returned. ``order`` says who commits when, ``dies`` who never does.

        Raises whatever an act raised, and ``AssertionError`` for one that never ends.
        """
        assert len(acts) <= self.workers
        playing = [_Performance(at not in dies, at == late) for at in range(len(acts))]
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as watcher:
            if late is not None:
                watcher.execute(text("select pg_advisory_lock(7)"))
            for one, act in zip(playing, acts, strict=True):
                one.future = self._threads.submit(self._perform, one, act)
            try:
                for at in [at for at in order if at != late]:
                    self._settle(playing, watcher)
                    playing[at].go.set()
                    if playing[at].done.is_set():
                        _result(playing[at])
            finally:
                if late is not None:
                    self._settle(playing, watcher)
                    watcher.execute(text("select pg_advisory_unlock(7)"))
                for one in playing:
                    one.go.set()
            return [_result(one) for one in playing]

    def _perform(self, one: _Performance, act: Act) -> Any:
        result = None
        try:
            with self.engine.begin() as connection:
                if one.late:
                    connection.execute(text("set local overlap.late = 'on'"))
                result = act(connection)
                one.done.set()
                assert one.go.wait(PATIENCE_S), "nobody let it commit"
                if not one.survives:
                    raise Died
        except Died:
            pass
        finally:
            one.done.set()
        return result

    def _settle(self, playing: Sequence[_Performance], watcher: Connection) -> None:
        """Until every act has ended its work or waits for a lock that another one holds."""
        ends = time.monotonic() + PATIENCE_S
        while busy := sum(not one.done.is_set() for one in playing):
            if self._waiting(watcher) >= busy:
                return
            assert time.monotonic() < ends, f"{busy} acts neither end nor wait for a lock"
            time.sleep(0.0005)

    def _waiting(self, connection: Connection) -> int:
        return connection.execute(
            text("""
                select count(*) from pg_stat_activity
                 where datname = :database and wait_event_type = 'Lock'
            """),
            {"database": self._database},
        ).scalar_one()


def _result(one: _Performance) -> Any:
    assert one.future is not None
    return one.future.result(PATIENCE_S)


@contextmanager
def stage(url: str, workers: int) -> Generator[Stage]:
    """A stage that is cleared at the end."""
    made = Stage(url, workers)
    try:
        yield made
    finally:
        made.close()
