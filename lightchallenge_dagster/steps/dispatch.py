"""Queue an AIVM job for each challenge that has earned one (DESIGN.md, "threshold dispatch")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lightchallenge_dagster.rules.gates import NO_RULE, DispatchFacts, Gate, dispatch_gate, earned
from lightchallenge_dagster.steps.cancel_jobs import cancel_jobs
from lightchallenge_dagster.steps.plan import configuration
from lightchallenge_dagster.storage import jobs, plans

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine


@dataclass(frozen=True, slots=True)
class DispatchReport:
    """``queued`` challenges got a job; ``canceled`` jobs ended with their challenge.

    ``held``: challenges that somebody has earned a request for and that lack something, as
    "42: it lacks model_hash".
    """

    queued: list[int] = field(default_factory=list[int])
    canceled: list[int] = field(default_factory=list[int])
    held: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True)
class MissingField:
    """A field that keeps a challenge from being requested, named as the web app writes it.

    ``blocking``: somebody passes or leads already, so the field is needed now.
    """

    challenge_id: int
    field: str
    blocking: bool


def dispatchable(engine: Engine, chain_now_ts: int) -> list[int]:
    """Challenges that a job can be queued for at ``chain_now_ts`` (epoch seconds, chain time)."""
    with engine.begin() as connection:
        gates = _gates(connection, jobs.dispatch_facts(connection), chain_now_ts)
    return [challenge_id for challenge_id, gate in gates.items() if gate.open]


def dispatch(engine: Engine, chain_now_ts: int) -> DispatchReport:
    """Queue jobs for the challenges whose gate is open, and cancel those of ended challenges."""
    canceled = cancel_jobs(engine).canceled
    with engine.begin() as connection:
        facts = jobs.dispatch_facts(connection)
        gates = _gates(connection, facts, chain_now_ts)
        found = [challenge_id for challenge_id, gate in gates.items() if gate.open]
        queued = jobs.queue(connection, found) if found else []
    held = [
        f"{one.challenge_id}: {gates[one.challenge_id].reason}"
        for one in facts
        if earned(one, chain_now_ts).open and not gates[one.challenge_id].open
    ]
    return DispatchReport(queued=queued, canceled=canceled, held=held)


def missing_fields(engine: Engine) -> list[MissingField]:
    """What active challenges without a request lack for one, by challenge."""
    with engine.begin() as connection:
        facts = jobs.dispatch_facts(connection)
    return [
        MissingField(one.challenge_id, name, _wanted(one))
        for one in facts
        for name in one.fields.missing()
    ]


def _wanted(facts: DispatchFacts) -> bool:
    return facts.passed if facts.mode == "threshold" else facts.provisional_winners > 0


def _gates(
    connection: Connection, facts: Sequence[DispatchFacts], chain_now_ts: int
) -> dict[int, Gate]:
    gates = {one.challenge_id: dispatch_gate(one, chain_now_ts) for one in facts}
    # Rules are parsed only where everything else holds: this runs in every tick.
    for one in plans.configurations(connection, [key for key, gate in gates.items() if gate.open]):
        if not configuration(one).has_rule:
            gates[one.challenge_id] = NO_RULE
    return gates
