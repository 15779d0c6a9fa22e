"""One seed from its first block to the comparison with the oracle.

``Arena`` is what seeds share (an anvil, a PostgreSQL, the proxy); ``run`` plays one of them. The
process has one thread and forks the indexer's lives from it, so nothing here may start a thread.
"""

from __future__ import annotations

import contextlib
import random
import resource
import selectors
import time
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, cast

from lightchallenge_dagster.devnet.processes import Postgres, start_postgres
from lightchallenge_dagster.devnet.supervisor import Supervisor
from lightchallenge_dagster.storage.database import connect
from lightchallenge_dagster.storage.migrate import migrate
from tests.simulator import before, indexer, oracle
from tests.simulator.chain import USERS, Base, Chain, prepare
from tests.simulator.indexer import Life, Plan, Settings
from tests.simulator.proxy import HIDING, LAGGING, MAIN, Nature, Proxy

SEEDS_PER_ANVIL = 25
"""anvil keeps every block it ever made: after so many seeds a fresh one is started."""

_ATTEMPTS = 8
_BAD = 0.25
"""The least rate of faults that a broken indexer meets."""


@dataclass
class Result:
    """What became of a seed. ``differences`` empty: every table was equal."""

    seed: int
    strict: bool
    differences: list[str] = field(default_factory=list[str])
    faults: Counter[str] = field(default_factory=Counter[str])
    kills: Counter[str] = field(default_factory=Counter[str])
    refusals: Counter[str] = field(default_factory=Counter[str])
    reorgs: list[int] = field(default_factory=list[int])
    events: Counter[str] = field(default_factory=Counter[str])
    blocks: int = 0
    lives: int = 0
    operations: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    late: int = 0
    """Logs that the second reading had to add, in a seed that hides some."""
    hidden_twice: int = 0
    """Seeds (0 or 1) in which a log was hidden from the second reading too, and a heal found it."""

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it (``asdict`` makes nonsense of a Counter)."""
        return {
            one.name: dict(cast("Counter[str]", value)) if isinstance(value, Counter) else value
            for one in fields(self)
            for value in (getattr(self, one.name),)
        }


class Arena:
    """Servers for many seeds, one after the other."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self.postgres: Postgres = start_postgres(
            supervisor, name="postgres-simulator", in_memory=True
        )
        engine = connect(self.postgres.create("simulator_template"))
        migrate(engine)
        engine.dispose()
        self._base: Base | None = None
        self._played = 0
        self._warmed = False
        self.proxy: Proxy
        self.base = self._fresh()

    def _fresh(self) -> Base:
        self._base = prepare(self._supervisor)
        self.proxy = Proxy(self._base.url)
        if not self._warmed:
            url = self.postgres.create("simulator_warm", template="simulator_template")
            first = self._base.first + 1
            settings = Settings(url, self._base.addresses, 0, 100, first, 256, True)
            self._base.node.call("evm_mine")
            indexer.warm(settings, self._base.url)
            self._base.back()
            self._warmed = True
        return self._base

    def next(self) -> None:
        """Before each seed: a fresh anvil now and then."""
        self._played += 1
        if self._played % SEEDS_PER_ANVIL == 0:
            self.proxy.close_in_child()
            self.base.node.close()
            self.base.stop()
            self.base = self._fresh()


@contextlib.contextmanager
def arena(directory: Path) -> Generator[Arena]:
    """An arena whose servers end with the block."""
    with Supervisor(directory) as supervisor:
        yield Arena(supervisor)


class _Play:
    def __init__(self, arena: Arena, seed: int, mutation: str | None) -> None:
        self.arena = arena
        self.rng = random.Random(f"schedule {seed}")
        rng = self.rng
        # A broken indexer is shown in following alone, in front of bad nodes: verification and heal
        # would put right what it does wrong before anybody has looked.
        self.alone = mutation is not None
        self.result = Result(seed, strict=rng.random() < 0.6 or self.alone)
        self.mutation = mutation
        base = arena.base
        self.chain = Chain(base, random.Random(f"chain {seed}"))
        where = rng.choice(("deployment", "now", "now", "later"))
        if where == "later":
            # Challenges that began before the first indexed block, known by later events only.
            self.chain.mine(rng.randint(5, 15))
            self.chain.floor = self.chain.head
        first = 1 if where == "deployment" else self.chain.head + 1
        self.settings = Settings(
            database_url=arena.postgres.create(
                f"simulator_{seed}".replace("-", "m"), template="simulator_template"
            ),
            addresses=base.addresses,
            confirmations=rng.randint(0, 3),
            max_block_range=rng.choice((1, 4, 10, 10, 50, 50, 2000)),
            start_block=first,
            window=rng.choice((256, 256, 130, 80)),
            mirror=rng.random() < 0.9,
        )
        head = base.node.call("eth_getBlockByNumber", hex(first - 1), False)
        self.rows = before.rows(
            rng, USERS, base.deployment.aivm_inference, first, int(head["timestamp"], 16)
        )
        before.insert(self.settings.database_url, self.rows)
        strict = self.result.strict
        rate = rng.choice((0.0, 0.04, 0.08, 0.15, 0.25, 0.35))
        self.nature = Nature(
            rate=max(rate, _BAD) if self.alone else rate,
            without=HIDING if strict else frozenset(),
            range_limit=rng.choice((0, 0, 3, 20)),
            cap=0 if strict else rng.choice((0, 0, 10, 25, 100)),
            lag=rng.randint(1, 8),
            silent=self.alone,
        )
        self.moves = rng.choice((0.0, 0.02, 0.1))
        arena.proxy.begin(random.Random(f"proxy {seed}"), self.nature)
        main, lagging = arena.proxy.url(MAIN), arena.proxy.url(LAGGING)
        self.urls = rng.choice(([main], [main, lagging], [lagging, main], [lagging]))
        self.length = rng.randint(60, 200)

    # ── lives ───────────────────────────────────────────────────────────────────────────

    def _plan(self) -> Plan:
        rng, chain = self.rng, self.chain
        operations: list[tuple[Any, ...]] = []
        for _ in range(rng.choice((1, 2, 2, 3, 5))):
            kind = rng.random()
            if kind < 0.2:
                operations.append(("look",))
            elif kind < 0.78 or (self.alone and kind < 0.96):
                operations.append(("follow",))
            elif kind < 0.88:
                operations.append(("verify", rng.choice((0, 2, 10, 64))))
            elif kind < 0.96:
                first = rng.randint(
                    self.settings.start_block, max(chain.head, self.settings.start_block)
                )
                operations.append(("heal", first, first + rng.choice((0, 5, 60))))
            else:
                operations.append(("rebuild", rng.choice(indexer.PROJECTIONS)))
        dies = rng.choice((0, 0, 0, 1)) * rng.choice((rng.randint(1, 30), rng.randint(1, 200)))
        return Plan(self.urls, operations, dies, self.mutation)

    def _live(self, plans: Sequence[Plan], *, kill: bool, moves: float) -> list[Life]:
        """Lives side by side until all are gone."""
        rng, proxy = self.rng, self.arena.proxy
        lives: list[Life] = []
        for plan in plans:
            life = indexer.start(self.settings, plan, proxy.close_in_child)
            lives.append(life)
            proxy.selector.register(life.pipe, selectors.EVENT_READ, partial(self._heard, life))
        self.result.lives += len(lives)
        at_request = proxy.requests + rng.randint(1, 40) if kill and rng.random() < 0.2 else 0
        at_time = time.monotonic() + rng.uniform(0, 0.25) if kill and rng.random() < 0.12 else 0.0

        def before_request(number: int) -> None:
            if at_request and number == at_request:
                self._kill(lives, "at a request")
            if moves and rng.random() < moves:
                if rng.random() < 0.12:
                    self.chain.reorg(rng.choice((2, 8, 64)))
                else:
                    self.chain.mine(rng.choice((1, 1, 3)))

        def over() -> bool:
            if at_time and time.monotonic() > at_time:
                self._kill(lives, "at a random moment")
            return all(life.ended for life in lives)

        proxy.before_request = before_request
        proxy.serve(over)
        proxy.before_request = None
        for plan, life in zip(plans, lives, strict=True):
            if life.killed and plan.die_at_statement and not life.doomed:
                self.result.kills["at a statement"] += 1
            for report in life.reports:
                self.result.operations += 1
                if "refused" in report:
                    self.result.refusals[report["refused"]] += 1
                if "unusable" in report:
                    raise RuntimeError(report["unusable"])
                if "crash" in report:
                    self._wrong(f"crash in {report.get('operation')}: {report['crash']}")
        return lives

    def _heard(self, life: Life, _: object) -> None:
        if life.read():
            self.arena.proxy.selector.unregister(life.pipe)
            life.bury()

    def _kill(self, lives: Sequence[Life], how: str) -> None:
        for life in lives:
            if not life.ended and not life.doomed:
                life.kill()
                self.result.kills[how] += 1

    def _wrong(self, what: str) -> None:
        self.result.differences.append(what)

    # ── the seed ────────────────────────────────────────────────────────────────────────

    def play(self) -> None:
        rng, chain = self.rng, self.chain
        while chain.mined < self.length:
            turn = rng.random()
            if turn < 0.5:
                chain.mine(rng.choice((1, 1, 2, 3, 5, 10)))
            elif turn < 0.62:
                chain.reorg()
            else:
                plans = [self._plan()]
                if rng.random() < 0.25:
                    plans.append(self._plan())
                self._live(plans, kill=True, moves=self.moves)
        if rng.random() < 0.7:
            # The rest of the seeds end on a branch that may be shorter than what was indexed.
            chain.empty(max(0, chain.high_water + 1 + self.settings.confirmations - chain.head))
        self.arena.proxy.quiet()
        self._settle()

    def _settle(self) -> None:
        """Faults are over: catch up, compare; read a second time, compare again."""
        if not self._until_done(("follow",)):
            return
        found = self._differences()
        if found and self.result.strict:
            self.result.differences += [f"after following: {one}" for one in found]
            return
        if not self._until_done(("verify", 0)):
            return
        found = self._differences()
        if found and not self.result.strict:
            # A node may hide the same log from both readings; a heal reads for a third time.
            self.result.hidden_twice = 1
            if not self._until_done(("heal", 0, 10**9)):
                return
            found = self._differences()
        self.result.differences += [f"after verification: {one}" for one in found]
        projection = self.rng.choice(indexer.PROJECTIONS)
        done = self._until_done(("rebuild", projection))
        if done and done["changed"]:
            self._wrong(f"a rebuild of {projection} changed {done['changed']} rows")

    def _until_done(self, operation: tuple[Any, ...]) -> dict[str, Any] | None:
        words: list[str] = []
        for _ in range(_ATTEMPTS):
            (life,) = self._live(
                [Plan(self.urls, [operation], 0, self.mutation)], kill=False, moves=0.0
            )
            for report in life.reports:
                if "result" in report:
                    if operation[0] == "verify":
                        self._verified(report["result"])
                    return report["result"]
                words.append(str(report.get("words") or report.get("crash")))
        self._wrong(f"{operation[0]} does not get through, though all is quiet: {words}")
        return None

    def _verified(self, found: dict[str, Any]) -> None:
        self.result.late += found["late"]
        if self.result.strict and (found["late"] or found["wrong"]):
            self._wrong(f"the second reading found {found}, though no log was hidden")
        if found["disputed"]:
            self._wrong(f"the second reading disputes, though all is quiet: {found['disputed']}")

    def _differences(self) -> list[str]:
        facts = oracle.Facts(
            node=self.arena.base.node,
            addresses=self.settings.addresses,
            first_block=self.settings.start_block,
            confirmations=self.settings.confirmations,
            window=self.settings.window,
            highest=self.chain.high_water,
            mirror=self.settings.mirror,
            before=self.rows,
        )
        head = self.chain.head
        return [
            str(one) for one in oracle.differences(facts, self.settings.database_url, head=head)
        ]


def run(
    arena: Arena,
    seed: int,
    *,
    mutation: str | None = None,
    scale: float = 1.0,
    keep: bool = False,
) -> Result:
    """Play ``seed`` to its end; ``keep`` leaves its database for whoever wants to look.

    ``mutation`` names a way to break the indexer: such a seed is strict, has faults in plenty and
    neither verifies nor heals before the comparison. ``scale`` shortens the seed's schedule.
    """
    arena.next()
    started, used = time.monotonic(), _cpu()
    counts = Counter(arena.proxy.counts)
    play = _Play(arena, seed, mutation)
    play.length = int(play.length * scale)
    try:
        play.play()
    finally:
        if not keep:
            arena.postgres.drop(play.settings.database_url.rsplit("/", 1)[1])
    result = play.result
    result.faults = arena.proxy.counts - counts
    result.reorgs = play.chain.reorgs
    result.events = play.chain.events
    result.blocks = play.chain.mined
    result.seconds = time.monotonic() - started
    result.cpu = _cpu() - used
    return result


def _cpu() -> float:
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
