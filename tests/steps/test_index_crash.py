"""A crash at any point of a commit leaves the old state or the new one, and the next run ends well.

The database is reached through a proxy that knows its protocol (``wire_cut``). Every boundary of
what is sent to it is enumerated, COPY's rows and COMMIT's missing answer included, and the
connection cut there; for a sample, a process of its own is killed there with SIGKILL.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.exc import DBAPIError

from lightchallenge_dagster.devnet.deploy import Deployment
from lightchallenge_dagster.devnet.network import Network
from lightchallenge_dagster.devnet.processes import Postgres
from lightchallenge_dagster.storage.database import connect
from tests.steps.index_world import World, open_world
from tests.steps.wire_cut import Unit, Where, WireCut, wire_cut

ETH = 10**18

# Made anew by every insertion, so never equal twice; and what is told of endpoints, not of blocks.
VOLATILE = ("created_at", "updated_at", "adopted_at")
KEPT = {("challenges", "id"), ("challenges", "created_at")}
UNCOMPARED = {"rpc_endpoints", "schema_migrations"}

State = dict[str, list[str]]
Action = Callable[[World], object]


def follow(world: World) -> None:
    world.follow()


def heal(world: World) -> None:
    world.heal(0, 10**9)


@dataclass
class Lab:
    """One devnet, one database to start from, and copies of it to crash on."""

    postgres: Postgres
    proxy: WireCut
    deployment: Deployment
    template: str
    everything: sql.Composed
    names: Iterator[int] = field(default_factory=itertools.count)

    def dump(self, database_url: str) -> State:
        """Every row that there is, by table."""
        with psycopg.connect(database_url) as connection:
            rows = connection.execute(self.everything).fetchall()
        return {name: [row for _, row in found] for name, found in itertools.groupby(rows, _first)}

    @contextlib.contextmanager
    def database(self, template: str | None = None) -> Generator[str]:
        """The URL of a copy of ``template``, by default of the state to start from."""
        name = f"crash_{os.getpid()}_{next(self.names)}"
        yield self.postgres.create(name, template=template or self.template)
        self.postgres.drop(name)

    @contextlib.contextmanager
    def world(self, database_url: str) -> Generator[World]:
        """An indexer on that database, its connection open."""
        engine = connect(database_url)
        try:
            with engine.connect():
                pass
            yield from open_world(engine, self.deployment)
        finally:
            engine.dispose()


@pytest.fixture(scope="module")
def proxy(postgres: Postgres) -> Iterator[WireCut]:
    with wire_cut(postgres.port) as proxy:
        yield proxy


@pytest.fixture
def lab(
    postgres: Postgres, migrated_template: str, proxy: WireCut, devnet: Deployment
) -> Iterator[Lab]:
    name = "crash_start"
    url = postgres.create(name, template=migrated_template)
    yield Lab(postgres, proxy, devnet, name, rows_of_every_table(url))
    postgres.drop(name)


def rows_of_every_table(database_url: str) -> sql.Composed:
    """A query for every row of every table, without the columns that name an insertion."""
    with psycopg.connect(database_url) as connection:
        tables = connection.execute(
            "select n.nspname, c.relname, array("
            "  select a.attname::text from pg_attribute a"
            "  left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum"
            "  where a.attrelid = c.oid and (a.attname = any (%s) or a.attidentity <> ''"
            "    or pg_get_expr(d.adbin, d.adrelid) like 'nextval%%'))"
            " from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " where n.nspname in ('public', 'pipeline') and c.relkind = 'r' order by 1, 2",
            [list(VOLATILE)],
        ).fetchall()
    queries = [
        sql.SQL("select {} as name, to_jsonb(t) - {}::text[] as row from {} t").format(
            sql.Literal(f"{schema}.{table}"),
            sql.Literal([column for column in volatile if (table, column) not in KEPT]),
            sql.Identifier(schema, table),
        )
        for schema, table, volatile in tables
        if table not in UNCOMPARED
    ]
    return sql.SQL("select name, row::text from ({}) r order by 1, 2").format(
        sql.SQL(" union all ").join(queries)
    )


def assert_same(found: State, expected: State, why: str = "") -> None:
    """Fail with the rows that differ, by table."""
    differing = {
        table: (
            [row for row in found.get(table, []) if row not in expected.get(table, [])],
            [row for row in expected.get(table, []) if row not in found.get(table, [])],
        )
        for table in found.keys() | expected.keys()
        if found.get(table) != expected.get(table)
    }
    assert differing == {}, f"{why}: found and expected rows"


def _first(row: tuple[Any, ...]) -> Any:
    return row[0]


# ── The chain and the rows to start from ────────────────────────────────────────────────────


def live_through_everything(world: World) -> None:
    """Events of every projection, and rows of the web app that they complete."""
    client, network = world.client, Network.of(world.deployment)
    worker, finalizer = world.deployment.worker, world.deployment.finalizer
    alice, bob, carol = world.funded("alice", "bob", "carol")
    challenge = client.create_challenge(alice, stake=2 * ETH)
    client.join(bob, challenge, ETH)
    client.join(carol, challenge, ETH)
    canceled = client.create_challenge(bob)
    client.cancel(bob, canceled)
    client.claim_refund(bob, canceled)
    client.claim_eth(bob, canceled)
    request = client.request_inference(worker, challenge, alice.address)
    world.run(
        "insert into public.aivm_jobs (challenge_id, status, attempts, task_id)"
        " values (:challenge, 'submitted', 1, :task)",
        challenge=challenge,
        task=client.request(request).task_id,
    )
    world.run(
        "insert into public.participants (challenge_id, subject, source)"
        " values (:challenge, :subject, 'evidence_intake')",
        challenge=challenge,
        subject=bob.address,
    )
    network.run_until_idle()
    client.bind(worker, challenge, alice.address, request)
    client.travel_to(client.challenge(challenge).start_ts)
    proof = client.proof(challenge, alice.address, request)
    client.submit_proof(finalizer, challenge, alice.address, proof)
    client.travel_to(client.challenge(challenge).proof_deadline_ts)
    client.finalize(finalizer, challenge)
    client.auto_distribute(bob, challenge, [alice.address], [bob.address, carol.address])
    client.mint_achievement(alice, challenge, "victory")
    client.admin_mint(carol.address, challenge, "completion")


def a_range_waits(lab: Lab) -> None:
    """Indexed up to where the story begins; the story is one range to commit."""
    with lab.world(lab.postgres.url(lab.template)) as world:
        world.follow()
        live_through_everything(world)


def nothing_is_indexed(lab: Lab) -> None:
    """The story has happened, the indexer has never run."""
    with lab.world(lab.postgres.url(lab.template)) as world:
        live_through_everything(world)


def a_reorg_waits(lab: Lab) -> None:
    """The story is indexed, but the chain went another way: a challenge and a join, no more."""
    with lab.world(lab.postgres.url(lab.template)) as world:
        world.follow()
        node = world.client.node
        snapshot, time = node.call("evm_snapshot"), world.client.now()
        live_through_everything(world)
        told = node.block_number()
        world.follow()
        node.call("evm_revert", snapshot)
        world.client.travel_to(time + 7)
        alice, bob = world.funded("alice", "bob")
        world.client.join(bob, world.client.create_challenge(alice), 3 * ETH)
        while node.block_number() <= told:
            node.call("evm_mine")


def logs_are_wrong(lab: Lab) -> None:
    """The story is indexed, then logs went missing and one was changed."""
    with lab.world(lab.postgres.url(lab.template)) as world:
        world.follow()
        live_through_everything(world)
        world.follow()
        world.run(
            "delete from pipeline.chain_logs where event in"
            " ('ChallengePay.Joined', 'ChallengePay.WinnerMarked', 'Treasury.ClaimedETH')"
        )
        world.run(
            "update pipeline.chain_logs set data = '0x00', args = null, event = null"
            " where event = 'ChallengePay.Finalized'"
        )


# ── Every boundary ──────────────────────────────────────────────────────────────────────────


@dataclass
class Undisturbed:
    """What a run that nobody disturbs sends, and the state after each of its COMMITs."""

    units: list[Unit]
    states: list[State]

    @property
    def written(self) -> list[int]:
        """The units of transactions that commit, in order; reading ones change nothing."""
        found: list[int] = []
        open_: list[int] = []
        for at, unit in enumerate(self.units):
            word = unit.statement.upper()
            open_ = [at] if word == "BEGIN" else [*open_, at]
            if word == "COMMIT":
                found += open_
            if word in {"COMMIT", "ROLLBACK"}:
                open_ = []
        return found

    def says(self, unit: int, words: str) -> bool:
        """Whether the unit's statement begins with these words."""
        return self.units[unit].statement.lower().startswith(words)

    def is_commit(self, unit: int) -> bool:
        return self.says(unit, "commit")

    def find(self, words: str) -> int:
        """The last statement that begins with these words."""
        return max(at for at in self.written if self.says(at, words) and not self.units[at].data)


def undisturbed(lab: Lab, action: Action, *, cold: bool = False) -> Undisturbed:
    """Run ``action`` to its end, watched; ``cold`` from its engine's first connection on."""
    proxy = lab.proxy
    with lab.database() as url:
        states = [lab.dump(url)]
        proxy.on_commit = lambda: states.append(lab.dump(url))
        if cold:
            proxy.watch()
        with lab.world(proxy.url(url)) as world:
            if not cold:
                proxy.watch()
            action(world)
            proxy.rest()
        proxy.on_commit = None
        assert states[-1] == lab.dump(url)
    return Undisturbed(proxy.units, states)


def crash(lab: Lab, url: str, action: Action, unit: int, where: Where) -> None:
    """Run ``action`` until the connection is cut at that point."""
    with lab.world(lab.proxy.url(url)) as world:
        lab.proxy.watch(unit, where)
        with pytest.raises((DBAPIError, psycopg.OperationalError)):
            action(world)
        lab.proxy.rest()
        assert lab.proxy.reached.is_set()


@pytest.mark.parametrize(
    ("arrange", "action", "transactions", "least"),
    [
        (nothing_is_indexed, follow, 1, 5),
        (a_range_waits, follow, None, 25),
        (a_reorg_waits, follow, None, 25),
        (logs_are_wrong, heal, None, 20),
    ],
    ids=["the first checkpoint", "a range", "a reorg", "a repair"],
)
def test_a_crash_at_any_boundary_of_a_commit_leaves_the_old_state_or_the_new_one(
    lab: Lab, arrange: Callable[[Lab], None], action: Action, transactions: int | None, least: int
) -> None:
    arrange(lab)
    whole = undisturbed(lab, action)
    assert whole.states[0] != whole.states[-1]
    units = [at for at in whole.written if whole.units[at].commits < (transactions or 10**9)]
    assert len(units) >= least

    # The answer to one statement withheld is the same to the server as the next one never sent.
    points: list[tuple[int, Where]] = [(unit, "before") for unit in units]
    points += [(unit, "unanswered") for unit in units if whole.is_commit(unit)]
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(lab.database())
        for at, (unit, where) in enumerate(points):
            crash(lab, url, action, unit, where)
            expected = whole.states[whole.units[unit].commits + (where == "unanswered")]
            assert_same(lab.dump(url), expected, f"cut: {whole.units[unit]}, {where}")
            # While it is the state to start from, the next crash starts from it.
            if expected != whole.states[0] or at == len(points) - 1:
                finish(lab, url, action, whole)
                url = stack.enter_context(lab.database())


def finish(lab: Lab, url: str, action: Action, whole: Undisturbed) -> None:
    """After a crash the next run ends where one that nobody disturbed ends."""
    with lab.world(url) as world:
        action(world)
    assert_same(lab.dump(url), whole.states[-1], "after the next run")


# ── Killed ──────────────────────────────────────────────────────────────────────────────────


def act(database_url: str, deployment: Deployment, action: Action) -> None:
    """In a process of its own, which does not live to its end."""
    engine = connect(database_url)
    with engine.connect():
        pass
    for world in open_world(engine, deployment):
        action(world)


def kill(lab: Lab, url: str, action: Action, unit: int, where: Where) -> None:
    """Run ``action`` in a process of its own and SIGKILL it at that point."""
    lab.proxy.watch(unit, where, hold=True)
    processes = multiprocessing.get_context("forkserver")
    process = processes.Process(
        target=act, args=(lab.proxy.url(url), lab.deployment, action), daemon=True
    )
    process.start()
    try:
        assert lab.proxy.reached.wait(60), "the process never came to that point"
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join(30)
        assert process.exitcode == -signal.SIGKILL
    finally:
        lab.proxy.rest()
        lab.proxy.release()
        process.kill()


def test_a_process_killed_inside_a_commit_leaves_the_old_state_or_the_new_one(lab: Lab) -> None:
    a_range_waits(lab)
    whole = undisturbed(lab, follow, cold=True)
    logs = 'copy "pipeline"."chain_logs"'
    copy = whole.find(logs)
    rows = min(at for at in whole.written if whole.says(at, logs) and whole.units[at].data)
    commit = min(at for at in whole.written if whole.is_commit(at) and at > copy)
    points: list[tuple[int, Where]] = [
        (whole.written[0], "before"),
        (copy, "unanswered"),
        (rows, "inside"),
        (whole.find("-- public.claims"), "unanswered"),
        (commit, "before"),
        (commit, "inside"),
        (commit, "unanswered"),
    ]
    states: list[State] = []
    for unit, where in points:
        with lab.database() as url:
            kill(lab, url, follow, unit, where)
            expected = whole.states[
                whole.units[unit].commits + (where == "unanswered" and unit == commit)
            ]
            states.append(lab.dump(url))
            assert_same(states[-1], expected, f"killed: {whole.units[unit]}, {where}")
            finish(lab, url, follow, whole)
    assert all(state == states[0] for state in states[:-1])
    assert states[-1]["pipeline.chain_logs"] == whole.states[-1]["pipeline.chain_logs"]
    assert states[0] == whole.states[0] != states[-1]
