"""Whatever six workers, other programs and erring nodes do, a wallet's nonces come out right.

Hypothesis looks for a way around it: the sending steps and a PostgreSQL are real, the chain is
modelled (``nonce_chain``).

``SOAK_EXAMPLES=20000 pytest --timeout=0 tests/storage/test_nonce_machine.py`` looks far
longer than `make test`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Connection, text

from lightchallenge_dagster.chain.rpc import Rpc
from lightchallenge_dagster.chain.sender import Sender
from lightchallenge_dagster.chain.signer import Signer
from lightchallenge_dagster.steps.sending.desk import Desk, OutboxPolicy, Tally
from lightchallenge_dagster.steps.sending.follow import look
from lightchallenge_dagster.steps.sending.free import fill_holes
from lightchallenge_dagster.steps.sending.sign import sign_all
from lightchallenge_dagster.storage import outbox as storage
from lightchallenge_dagster.storage.outbox import OUSTED, Intent
from tests.builders import CHAIN_ID, wallet
from tests.rules.effort import examples
from tests.storage.nonce_chain import Chain, Key, Node, Quirks
from tests.storage.overlap import Pause, Play, Stage, stage

WORKERS = 6
WALLETS = (wallet(1), wallet(2))
POLICY = OutboxPolicy(CHAIN_ID, confirmations=2, bump_after_blocks=3)
ROUNDS = 40
"""In so many rounds of an honest world everything in flight is mined; a dozen is usual."""

wallets = st.sampled_from(WALLETS)
nodes = st.builds(
    Quirks,
    behind=st.integers(0, 2),
    too_many_mined=st.sampled_from([0, 0, 0, 1, 3]),
    too_many_pending=st.sampled_from([0, 0, 1, 12]),
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a worker is to do: sign an intent, or look after everything in flight."""

    what: str
    intent: int
    node: Quirks


wishes = st.builds(
    Wish,
    what=st.sampled_from(["sign", "sign", "sign", "look"]),
    intent=st.integers(0, 30),
    node=nodes,
)


class NonceMachine(RuleBasedStateMachine):
    """Workers, other programs with the same keys, nodes, and one chain under them."""

    workers: Stage

    def __init__(self) -> None:
        super().__init__()
        self.chain = Chain()
        self.planned: list[Intent] = []
        self.workers.alone(_begin)

    # ── what workers do ──

    @initialize(count=st.integers(2, 5))
    def there_is_work(self, count: int) -> None:
        self._plan(count)

    @rule(count=st.integers(1, 4))
    def more_effects_are_planned(self, count: int) -> None:
        self._plan(count)

    def _plan(self, count: int) -> None:
        start = len(self.planned)
        for number in range(start, start + count):
            signer, data = WALLETS[number % 3 == 2], f"0x{number:04x}"
            self.planned.append(Intent(f"effect:{number}", "bind", signer, signer, data))
        self.workers.alone(
            lambda connection: storage.plan(connection, CHAIN_ID, self.planned[start:])
        )

    @rule(
        wanted=st.lists(wishes, min_size=1, max_size=WORKERS),
        order=st.permutations(range(WORKERS)),
        dies=st.sets(st.integers(0, WORKERS - 1), max_size=2),
    )
    def workers_work_at_once(self, wanted: list[Wish], order: list[int], dies: set[int]) -> None:
        """Some die when they have a nonce and a signature, and have stored neither."""
        self._work(wanted, order, dies)

    @rule(
        node=nodes, wanted=st.lists(st.integers(0, 30), min_size=4, max_size=WORKERS, unique=True)
    )
    def many_sign_at_once(self, node: Quirks, wanted: set[int]) -> None:
        self._work([Wish("sign", one, node) for one in sorted(wanted)], range(WORKERS), ())

    @rule(
        count=st.integers(1, 3),
        recorded=st.booleans(),
        after=st.lists(wishes, min_size=1, max_size=WORKERS),
    )
    def effects_go_through_and_an_erring_node_does_not_know(
        self, count: int, recorded: bool, after: list[Wish]
    ) -> None:
        """Signed, sent and mined; then workers ask whomever they ask."""
        self._plan(count)
        self._sign(self._desk(Quirks()), self.planned[-count:])
        self._look(self._desk(Quirks()))
        self.chain.mine(count)
        if recorded:
            self._look(self._desk(Quirks()))
        self._work(after, range(WORKERS), ())

    def _work(self, wanted: Sequence[Wish], order: Sequence[int], dies: Any) -> None:
        plays = [self._play(wish) for wish in wanted]
        self.workers.interleave(plays, [at for at in order if at < len(plays)], tuple(dies))

    def _play(self, wish: Wish) -> Play:
        if wish.what == "look":
            return lambda pause: self._look(self._desk(wish.node))
        intent = self.planned[wish.intent % len(self.planned)]
        return lambda pause: self._sign(self._desk(wish.node, pause), [intent])

    def _desk(self, node: Quirks, pause: Pause | None = None) -> Desk:
        def observe(boundary: str, _key: str) -> None:
            if boundary == "signed" and pause is not None:
                pause()

        signers = {one: cast("Signer", Key(self.chain, one)) for one in WALLETS}
        sender = Sender(cast("Rpc", Node(self.chain, node)))
        return Desk(self.workers.engine, sender, signers, POLICY, observe)

    def _sign(self, desk: Desk, intents: Sequence[Intent]) -> None:
        with desk.engine.begin() as connection:
            known = storage.by_key(connection, [one.key for one in intents])
        fresh = [one for one in known.values() if one.status in ("planned", "refused")]
        sign_all(desk, fresh)

    def _look(self, desk: Desk) -> None:
        """As ``Outbox.resume`` does."""
        if not self._in_flight():
            return
        fill_holes(desk, desk.sender.head_number())
        look(desk, self._in_flight(), Tally())

    def _in_flight(self) -> list[storage.StoredIntent]:
        with self.workers.engine.begin() as connection:
            return storage.in_flight(connection, CHAIN_ID)

    # ── what happens around them ──

    @rule(at_most=st.integers(0, 3))
    def a_block_is_mined(self, at_most: int) -> None:
        self.chain.mine(at_most)

    @rule()
    def the_last_block_is_reorged_away(self) -> None:
        self.chain.reorg()

    @rule(address=wallets, ahead=st.integers(0, 2))
    def another_program_sends(self, address: str, ahead: int) -> None:
        nonce = self.chain.pending(address) + ahead
        self.chain.take(self.chain.foreign(address, nonce, 1000))

    @rule(address=wallets)
    def another_program_takes_the_place_of_ours(self, address: str) -> None:
        self.chain.take(self.chain.foreign(address, self.chain.mined(address), 10**6))

    @rule(foreign=st.booleans())
    def the_pool_forgets(self, foreign: bool) -> None:
        self.chain.pool = {
            place: tx for place, tx in self.chain.pool.items() if tx.foreign != foreign
        }

    # ── what always holds ──

    @invariant()
    def no_two_living_effects_share_a_nonce(self) -> None:
        rows = self._rows("""
            select signer, nonce, count(distinct intent_key) from pipeline.transactions
             where receipt_status is distinct from :ousted group by signer, nonce
        """)
        assert all(count == 1 for _, _, count in rows), rows

    @invariant()
    def whatever_is_out_was_stored(self) -> None:
        stored = {name for (name,) in self._rows("select hash from pipeline.transactions")}
        mined = [tx for block in self.chain.blocks for tx in block.txs]
        assert {tx.hash for tx in [*mined, *self.chain.pool.values()] if not tx.foreign} <= stored

    @invariant()
    def no_effect_happened_twice(self) -> None:
        assert max(self._effects().values(), default=0) <= 1, self._effects()

    @invariant()
    def what_is_final_is_on_chain(self) -> None:
        assert set(self._keys("status = 'confirmed'")) <= set(self._effects())
        # Only what filled holes may be given up.
        assert all(key.startswith("fill:") for key in self._keys("status = 'reverted'"))

    def teardown(self) -> None:
        """No hole stays: in an honest world everything planned happens, exactly once."""
        try:
            self._end_well()
        finally:
            self.chain.pool.clear()

    def _end_well(self) -> None:
        self.the_pool_forgets(foreign=True)
        left: list[str] = []
        for _ in range(ROUNDS):
            self.workers.interleave([lambda _: self._round()], [0])
            self.chain.mine(100)
            left = self._keys("status not in ('confirmed', 'reverted')")
            if not left:
                break
        assert not left, f"after {ROUNDS} honest rounds: {left}"
        effects = self._effects()
        assert {one.key: effects[one.key] for one in self.planned} == {
            one.key: 1 for one in self.planned
        }

    def _round(self) -> None:
        desk = self._desk(Quirks())
        self._sign(desk, self.planned)
        self._look(desk)

    def _effects(self) -> Counter[str]:
        """How often each effect happened, by the chain."""
        keys = dict(self._rows("select hash, intent_key from pipeline.transactions"))
        mined = [tx for block in self.chain.blocks for tx in block.txs if not tx.foreign]
        return Counter(keys[tx.hash] for tx in mined)

    def _keys(self, condition: str) -> list[str]:
        return [key for (key,) in self._rows(f"select key from pipeline.intents where {condition}")]  # noqa: S608 — constants of this class

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        def read(connection: Connection) -> list[tuple[Any, ...]]:
            found = connection.execute(text(query), {"ousted": OUSTED})
            return [tuple(row) for row in found]

        return self.workers.alone(read)


def _begin(connection: Connection) -> None:
    connection.execute(
        text("""
            delete from pipeline.transactions; delete from pipeline.intents;
            delete from pipeline.signers
        """)
    )


def test_nonces_come_out_right_whatever_workers_programs_and_nodes_do(database_url: str) -> None:
    with stage(database_url, WORKERS) as workers:
        run_state_machine_as_test(
            type("Machine", (NonceMachine,), {"workers": workers}),
            settings=settings(examples(35), stateful_step_count=12),
        )
