"""One seed of the storm: a small world, workers that die all the time, and in the end the oracle.

Up to three worker processes at once, without the leases that keep runs of one job apart, are
killed by SIGKILL at random boundaries and at random moments, while blocks come or do not, reorgs
take transactions away and the network answers. Then it becomes calm, and everything must be as it
would be without the storm. The schedule follows from the seed; how the processes interleave does
not, so a seed that diverges is played again several times.
"""

from __future__ import annotations

import contextlib
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, cast

from lightchallenge_dagster.devnet.client import Client
from lightchallenge_dagster.devnet.deploy import Deployment, deploy
from lightchallenge_dagster.devnet.errors import DevnetError
from lightchallenge_dagster.devnet.network import Network
from lightchallenge_dagster.devnet.processes import Anvil, Postgres, start_anvil, start_postgres
from lightchallenge_dagster.devnet.supervisor import Supervisor
from lightchallenge_dagster.storage.database import connect
from lightchallenge_dagster.storage.migrate import migrate
from tests.conftest import REMEMBERING
from tests.money import world
from tests.money.hatchery import Hatchery, Life
from tests.money.ladder import EXPIRED_S
from tests.money.lying import RATES, LyingNode
from tests.money.oracle import differences, rows
from tests.money.weather import Weather
from tests.money.worker import Kill, Plan, Site

SEEDS_PER_ANVIL = 12
"""anvil keeps every block it ever made: after so many seeds a fresh one is started."""

BOUNDARIES = ("planned", "simulated", "signed", "stored", "sent", "broadcast", "receipt", "mined",
              "noted")  # fmt: skip
BEFORE_DEADLINE = ("request", "request", "bind", "bind", "batch", "proof", "reclaim")
ROUNDS_OF_CALM = 25
LONGEST_STORM_S = 60.0


@dataclass
class Result:
    """What became of a seed; ``differences`` empty: everything was as it must be."""

    seed: int
    differences: list[str] = field(default_factory=list[str])
    kills: Counter[str] = field(default_factory=Counter[str])
    lies: Counter[str] = field(default_factory=Counter[str])
    troubles: Counter[str] = field(default_factory=Counter[str])
    reorgs: Counter[str] = field(default_factory=Counter[str])
    effects: Counter[str] = field(default_factory=Counter[str])
    lives: int = 0
    seconds: float = 0.0

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it (``asdict`` makes nonsense of a Counter)."""
        return {
            one.name: dict(cast("Counter[str]", value)) if isinstance(value, Counter) else value
            for one in fields(self)
            for value in (getattr(self, one.name),)
        }


class Arena:
    """What seeds share: PostgreSQL, an anvil with the contracts, a hatchery."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self.postgres: Postgres = start_postgres(supervisor, name="postgres-storm", in_memory=True)
        engine = connect(self.postgres.create("storm_template"))
        migrate(engine)
        engine.dispose()
        self._played = 0
        self.anvil: Anvil
        self.deployment: Deployment
        self._snapshot = ""
        self._fresh()
        self.hatchery = Hatchery.of(self.deployment)
        self.hatchery.__enter__()

    def close(self) -> None:
        self.hatchery.__exit__(None, None, None)

    def next(self) -> None:
        """Before each seed: the chain as it was after the deployment, or a fresh one."""
        self._played += 1
        if self._played % SEEDS_PER_ANVIL == 0:
            self.anvil.handle.stop()
            self._fresh()
        else:
            self.anvil.rpc("evm_setAutomine", True)
            self.anvil.revert(self._snapshot)
            self.anvil.rpc("anvil_dropAllTransactions")
            self._snapshot = self.anvil.snapshot()
        self.anvil.resume_clock()
        self.anvil.rpc("anvil_setCoinbase", f"0x{self._played:040x}")

    def _fresh(self) -> None:
        self.anvil = start_anvil(self._supervisor, name="anvil-storm", arguments=REMEMBERING)
        self.deployment = deploy(self.anvil.url)
        self._snapshot = self.anvil.snapshot()


@contextlib.contextmanager
def arena(directory: Path) -> Generator[Arena]:
    """An arena whose servers end with the block."""
    with Supervisor(directory) as supervisor:
        one = Arena(supervisor)
        try:
            yield one
        finally:
            one.close()


class _Node(LyingNode):
    """Those who ask it may be killed before it has answered."""

    def __init__(self, *arguments: Any, **how: Any) -> None:
        super().__init__(*arguments, **how)
        self._server.handle_error = self._gone

    def _gone(self, request: Any, client_address: Any) -> None:
        # A question that was cut off is no JSON.
        if not isinstance(sys.exception(), (ConnectionError, ValueError)):
            traceback.print_exc()


class _Storm:
    def __init__(
        self, arena: Arena, seed: int, *, lying: bool, kills: int | None, longest_s: float
    ) -> None:
        self.longest_s = longest_s
        self.rng = rng = random.Random(f"money {seed}")
        self.arena = arena
        self.result = Result(seed)
        self.anvil, self.hatchery = arena.anvil, arena.hatchery
        self.client = Client(arena.deployment)
        self.network = Network.of(arena.deployment)
        self.confirmations = rng.choice((1, 2, 3, 4))
        self.url = arena.postgres.create(f"storm_{seed}", template="storm_template")
        self.first_block = self.anvil.block_number() + 1
        self.world = world.build(rng, arena.deployment, self.url, confirmations=self.confirmations)
        self.kills = rng.randint(15, 30) if kills is None else kills
        self.workers = rng.choice((1, 1, 2, 3))
        self.lying = lying
        self.weather = Weather(
            rng,
            self.anvil,
            arena.deployment,
            manual=rng.random() < 0.5,
            deepest=self.confirmations - 1 if rng.random() < 0.7 else 0,
        )

        self.expires = rng.random() < 0.35
        if self.expires:
            # Nobody answers until the requests have run out of time.
            self.weather.answering = False
            self.world.expected = [
                replace(one, expiries=min(1, one.requests)) for one in self.world.expected
            ]

    def site(self, **how: Any) -> Site:
        rng = self.rng
        return Site.of(
            self.arena.deployment,
            self.url,
            confirmations=self.confirmations,
            index_confirmations=self.confirmations,
            receipt_timeout_s=rng.choice((0.0, 0.2, 1.0)),
            look_again_s=rng.choice((0.0, 0.3)),
            waiting_retry_s=rng.choice((0.1, 0.5)),
            lease_s=rng.choice((1.0, 3.0)),
            rpc_timeout_s=1.0,
            **how,
        )

    # ── the storm ───────────────────────────────────────────────────────────────────────

    def play(self) -> None:
        lies = (
            _Node(
                self.anvil.url,
                self.result.seed,
                deepest=max(0, self.confirmations - 1),
                floor=self.anvil.block_number(),
            )
            if self.lying
            else contextlib.nullcontext()
        )
        with lies as node:
            late = list(self.world.late)
            if self.expires:
                self._blow(node, self.kills // 4, ("request", "bind"), late)
                self.weather.travel(self.client, self.client.now() + EXPIRED_S, 0)
                self.weather.answering = True
            wanted = int(self.kills * 0.75) - sum(self.result.kills.values())
            self._blow(node, wanted, BEFORE_DEADLINE, late)
            for one in late:
                one(self.url)
            # What waits for its retry time is at rest too: each calm lets that time come.
            for _ in range(ROUNDS_OF_CALM):
                if not self._calm(node):
                    return
                if not (missing := self.world.missing(self.client)):
                    break
            else:
                self.result.differences.append(f"not winners on chain in time: {missing}")
                return
            self.weather.travel(self.client, self.world.deadline, self.confirmations)
            self._blow(node, self.kills - sum(self.result.kills.values()), ("finalize",), [])
            if self._calm(node):
                self._judge()
            if isinstance(node, LyingNode):
                self.result.lies = node.counts

    def _blow(
        self, node: LyingNode | None, kills: int, kinds: tuple[str, ...], late: list[world.Late]
    ) -> None:
        """Workers come and die until so many were killed."""
        rng, alive = self.rng, list[tuple[Life, float]]()
        if node is not None:
            node.mix(RATES)
        before = sum(self.result.kills.values())
        fruitless = 0
        over = time.monotonic() + self.longest_s
        while sum(self.result.kills.values()) - before < kills and time.monotonic() < over:
            if len(alive) < self.workers:
                alive.append(self._start(node, kinds))
            if rng.random() < 0.1:
                self._event(late)
            # Two that replace blocks at once would meet half a chain.
            with contextlib.nullcontext() if node is None else node.alone():
                self.weather.blow(self._answer)
            self.hatchery.read(rng.choice((0.0, 0.02, 0.08)))
            for life, dies_at in list(alive):
                if life.returncode is None and time.monotonic() > dies_at:
                    self.hatchery.kill(life)
                if life.returncode is not None:
                    alive.remove((life, dies_at))
                    fruitless = 0 if self._bury(life) else fruitless + 1
            if fruitless > 12:
                # Nothing is left to be done: nobody can be killed at it any more.
                break
        for life, _ in alive:
            self.hatchery.kill(life)
            self.hatchery.wait(life)
            self._bury(life)

    def _start(self, node: LyingNode | None, kinds: tuple[str, ...]) -> tuple[Life, float]:
        rng = self.rng
        kill: Kill | None = None
        dies_at = float("inf")
        how = rng.random()
        if how < 0.4:
            kill = Kill(chance=rng.choice((0.03, 0.1, 0.3)), seed=rng.randrange(2**31))
        elif how < 0.85:
            kill = Kill(rng.choice(BOUNDARIES), rng.choice(kinds), rng.choice((1, 1, 2, 3)))
        else:
            dies_at = time.monotonic() + rng.uniform(0.02, 0.6)
        plan = Plan(
            self.site() if node is None else self.site(rpc_urls=[node.url]),
            kill,
            rounds=rng.choice((1, 2, 4)),
            until_idle=False,
        )
        self.result.lives += 1
        return self.hatchery.start(plan), dies_at

    def _bury(self, life: Life) -> bool:
        """Count a life that is over; whether it was killed."""
        if life.crash is not None:
            self.result.differences.append(f"a worker crashed: {life.crash}")
        for trouble in life.report.get("troubles", ()):
            self.result.troubles[" ".join(str(trouble).split()[:2])] += 1
        if life.returncode != -9:
            return False
        kind, boundary = life.died_at or ("at a random", "moment")
        self.result.kills[f"{kind} {boundary}"] += 1
        return True

    def _event(self, late: list[world.Late]) -> None:
        """Time passes for the dead, or a verdict comes late."""
        if late and self.rng.random() < 0.5:
            late.pop()(self.url)
        else:
            self._time_passes()

    def _answer_all(self) -> bool:
        """The network answers until it is idle; whether there was anything to do."""
        steps = 0
        while steps < ROUNDS_OF_CALM and self._answer():
            steps += 1
        return steps > 0

    def _answer(self) -> bool:
        """The network takes its next step; false when it is idle."""
        try:
            return bool(self.network.step())
        except DevnetError as error:
            # anvil shows half a block at times. What lasts keeps the storm from its rest.
            self.result.troubles[f"network: {type(error).__name__}"] += 1
            return True

    def _time_passes(self) -> None:
        world.time_passes(self.url)

    # ── calm ────────────────────────────────────────────────────────────────────────────

    def _calm(self, node: LyingNode | None) -> bool:
        """Fresh workers, an honest node, a network that answers: it must come to rest."""
        if node is not None:
            node.tell_the_truth()
        self.weather.calm()
        due: object = "nothing was asked"
        for _ in range(ROUNDS_OF_CALM):
            self._time_passes()
            life = self.hatchery.run(Plan(self.site(), until_idle=False, rounds=2, longest_s=60))
            self.result.lives += 1
            answered = self._answer_all()
            self.anvil.mine(self.confirmations + 1)
            life = self.hatchery.run(Plan(self.site(), rounds=1))
            due = life.report.get("due", life.said)
            if not answered and due == {} and not self._open():
                return True
        self.result.differences.append(f"it does not come to rest: due {due}, open {self._open()}")
        return False

    def _open(self) -> list[str]:
        return [
            f"{one['key']} {one['status']} {one['last_error']}"
            for one in rows(
                self.url,
                "select key, status, last_error from pipeline.intents"
                " where status in ('signed', 'broadcast', 'mined')",
            )
        ]

    def _judge(self) -> None:
        self.result.differences += differences(
            self.client,
            self.url,
            self.world.expected,
            self.first_block,
            exactly=not self.weather.reorgs and self.workers == 1 and not self.expires,
        )
        for one in rows(
            self.url,
            "select kind, count(*) as count from pipeline.intents where status = 'confirmed'"
            " group by kind",
        ):
            self.result.effects[one["kind"]] += one["count"]
        self.result.reorgs = self.weather.reorgs


def run(
    arena: Arena,
    seed: int,
    *,
    lying: bool = False,
    kills: int | None = None,
    longest_s: float = LONGEST_STORM_S,
    keep: bool = False,
) -> Result:
    """Play ``seed`` to its end; ``keep`` leaves its database for whoever wants to look.

    Each of its up to three storms lasts until so many of the ``kills`` were done, or so long.
    """
    arena.next()
    started = time.monotonic()
    storm = _Storm(arena, seed, lying=lying, kills=kills, longest_s=longest_s)
    try:
        storm.play()
    finally:
        storm.weather.calm()
        if not keep:
            arena.postgres.drop(f"storm_{seed}")
    storm.result.seconds = time.monotonic() - started
    return storm.result
