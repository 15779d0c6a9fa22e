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
Pause = Callable[[], None]
Play = Callable[[Pause], Any]


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
    """One act under way."""

    survives: bool
    paused: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    future: Future[Any] | None = None

    @property
    def busy(self) -> bool:
        pauses = self.paused.is_set() and not self.go.is_set()
        return not (pauses or self.ended.is_set())


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

        def transaction(act: Act, at: int, results: list[Any]) -> Play:
            def play(pause: Pause) -> None:
                with self.engine.begin() as connection:
                    if at == late:
                        connection.execute(text("set local overlap.late = 'on'"))
                    results[at] = act(connection)
                    pause()

            return play

        results: list[Any] = [None] * len(acts)
        plays = [transaction(act, at, results) for at, act in enumerate(acts)]
        self.interleave(plays, order, dies, late)
        return results

    def interleave(
        self,
        plays: Sequence[Play],
        order: Sequence[int],
        dies: Sequence[int] = (),
        late: int | None = None,
    ) -> list[Any]:
        """The same for plays with transactions of their own, which ``pause`` where they may die.

        None stands for the result of one that died.
        """
        assert len(plays) <= self.workers
        playing = [_Performance(at not in dies) for at in range(len(plays))]
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as watcher:
            if late is not None:
                watcher.execute(text("select pg_advisory_lock(7)"))
            for one, play in zip(playing, plays, strict=True):
                one.future = self._threads.submit(self._perform, one, play)
            try:
                for at in [at for at in order if at != late]:
                    self._settle(playing, watcher)
                    playing[at].go.set()
                self._settle(playing, watcher)
            finally:
                if late is not None:
                    watcher.execute(text("select pg_advisory_unlock(7)"))
                for one in playing:
                    one.go.set()
            return [_result(one) for one in playing]

    def _perform(self, one: _Performance, play: Play) -> Any:
        def pause() -> None:
            one.paused.set()
            assert one.go.wait(PATIENCE_S), "nobody let it go on"
            if not one.survives:
                raise Died

        try:
            return play(pause)
        except Died:
            return None
        finally:
            one.ended.set()

    def _settle(self, playing: Sequence[_Performance], watcher: Connection) -> None:
        """Until every act has ended, pauses, or waits for a lock that another one holds."""
        ends = time.monotonic() + PATIENCE_S
        while busy := sum(one.busy for one in playing):
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
