"""The live view: how far each challenge has come, and what has just happened.

On a terminal a table that renews itself; elsewhere a line for every event and every step of a
challenge.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lightchallenge_dagster.devnet.client import Client
from lightchallenge_dagster.devnet.demo import facts, webapp
from lightchallenge_dagster.devnet.demo.facts import ChainFacts, DatabaseChallenge
from lightchallenge_dagster.devnet.demo.scenario import coins

if TYPE_CHECKING:
    from lightchallenge_dagster.devnet.demo.stack import Stack

SHOWN_EVENTS = 8
COLUMNS = (
    "challenge", "stage", "staked", "evidence", "passed", "ranked", "AIVM", "bound", "proved",
    "outcome", "paid out",
)  # fmt: skip
OUTCOMES = {0: "", 1: "success", 2: "fail"}


class Diary:
    """What happened, in the order it was said; safe between threads."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._begun = time.monotonic()
        self._recent: deque[str] = deque(maxlen=SHOWN_EVENTS)
        self.live = False

    def say(self, text: str) -> None:
        """One event; printed at once, unless the live view is up, which then shows it."""
        seconds = int(time.monotonic() - self._begun)
        line = f"{seconds // 60:2d}:{seconds % 60:02d}  {text}"
        with self._lock:
            self._recent.append(line)
            if not self.live:
                self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def recent(self) -> list[str]:
        """The last few events, oldest first."""
        with self._lock:
            return list(self._recent)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything the view shows, at one moment. ``chain_ts`` is epoch seconds."""

    block: int
    chain_ts: int
    challenges: list[DatabaseChallenge]
    chain: ChainFacts
    runs: Counter[str]
    red: list[str] = field(default_factory=list[str])

    def row(self, one: DatabaseChallenge) -> tuple[str, ...]:
        """The challenge's cells, in the order of ``COLUMNS``."""
        chain = self.chain
        verdicts = [o for o in one.outcomes.values() if o.passed is not None]
        passed = sum(1 for o in verdicts if o.passed)
        ranked = sum(1 for o in one.outcomes.values() if o.rank is not None)
        paid = sum(
            wei
            for (challenge, _, kind), wei in chain.claims.items()
            if challenge == one.id and kind == "treasury_eth"
        )
        return (
            f"#{one.id} {one.title or '(seen on chain only)'}",
            facts.stage(one, chain),
            str(len(chain.joined[one.id])),
            str(one.evidence or ""),
            f"{passed}/{len(verdicts)}" if verdicts else "",
            str(ranked or ""),
            one.job or "",
            str(len(chain.bound[one.id]) or ""),
            str(len(chain.winners[one.id]) or ""),
            "canceled" if one.id in chain.canceled else OUTCOMES[chain.finalized.get(one.id, 0)],
            coins(paid) if paid else "",
        )

    def status(self) -> str:
        """Chain and Dagster in one line."""
        runs = ", ".join(f"{count} {name.lower()}" for name, count in sorted(self.runs.items()))
        clock = time.strftime("%H:%M:%S", time.gmtime(self.chain_ts))
        return f"block {self.block} at {clock} UTC · Dagster runs: {runs or 'none yet'}"


class Watcher:
    """Looks at chain and databases; each look reads only the blocks since the last."""

    def __init__(self, stack: Stack) -> None:
        self._client = Client(stack.deployment)
        self._database = webapp.connect(stack.database_url)
        self._dagster = webapp.connect(stack.dagster_db_url)
        self._chain = ChainFacts()
        self._next_block = stack.deployment.start_block

    def look(self) -> Snapshot:
        """A snapshot of now."""
        block = self._client.node.block_number()
        if block >= self._next_block:
            events = self._client.events(from_block=self._next_block)
            # A block mined in between is read again from the next look on, not twice.
            self._chain.add([event for event in events if event.block_number <= block])
            self._next_block = block + 1
        runs = Counter[str]()
        for status, count in self._dagster.execute(
            "select status, count(*) from runs group by status"
        ).fetchall():
            runs[status] = count
        return Snapshot(
            block=block,
            chain_ts=self._client.now(),
            challenges=facts.challenges(self._database),
            chain=self._chain,
            runs=runs,
        )

    def close(self) -> None:
        self._database.close()
        self._dagster.close()


class View:
    """Shows snapshots."""

    def __init__(self, console: Console, diary: Diary, ui_url: str) -> None:
        self._console = console
        self._diary = diary
        self._ui_url = ui_url
        self._live: Live | None = None
        self._told: dict[int, str] = {}
        self._told_runs = 0

    @contextmanager
    def shown(self) -> Generator[None]:
        """While the body runs, ``update`` renews the view in place (on a terminal)."""
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, auto_refresh=False) as live:
            self._live = live
            self._diary.live = True
            try:
                yield
            finally:
                self._diary.live = False
                self._live = None

    def update(self, snapshot: Snapshot) -> None:
        """Show the snapshot, or say in a line what changed since the last."""
        if self._live is not None:
            self._live.update(self._table(snapshot), refresh=True)
            return
        for one in snapshot.challenges:
            now = facts.stage(one, snapshot.chain)
            if self._told.get(one.id) != now:
                self._told[one.id] = now
                title = one.title or "(seen on chain only)"
                self._diary.say(f"#{one.id} {title}: {now} · {snapshot.status()}")

    def _table(self, snapshot: Snapshot) -> Group:
        table = Table(title=f"LightChallenge demo · Dagster at {self._ui_url}", expand=False)
        for column in COLUMNS:
            table.add_column(column, overflow="fold", justify="left")
        for one in snapshot.challenges:
            table.add_row(*(Text(cell) for cell in snapshot.row(one)))
        events = "\n".join(self._diary.recent())
        return Group(table, Text(snapshot.status(), style="bold"), Text(events, style="dim"))
