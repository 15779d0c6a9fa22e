"""Reconcile's own repairs: tables from stored logs, flags, claims. Never a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import text

from lightchallenge_dagster.steps import index
from lightchallenge_dagster.steps.index import PROJECTIONS
from lightchallenge_dagster.steps.ops.difference import (
    FLAGS,
    HANG_MINUTES,
    NOTE,
    OUTCOME,
    REQUEUE,
    Difference,
    rebuild,
)
from lightchallenge_dagster.steps.ops.stuck_jobs import reset_stuck_jobs
from lightchallenge_dagster.storage import jobs, ops, proof_fields

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from lightchallenge_dagster.steps.index import IndexPolicy

#: What is computed from a table that is computed again.
_FOLLOW = {"chain_challenges": ("challenges",), "inference_requests": ("aivm_jobs",)}


def repair(engine: Engine, policy: IndexPolicy, differences: Sequence[Difference]) -> list[str]:
    """Do what the differences name as an action of ours; returns what was done, in words."""
    done: list[str] = []
    wanted = {one.action for one in differences if one.action is not None}
    if NOTE in wanted:
        done += _note_again(engine, _of(differences, NOTE))
    for name in PROJECTIONS:
        sources = [name, *(source for source, after in _FOLLOW.items() if name in after)]
        if any(rebuild(source) in wanted for source in sources):
            changed = index.rebuild(engine, policy, name).rows_changed
            with engine.begin() as connection:
                # In a rehearsal all of them are one transaction, which keeps the set of keys.
                connection.execute(text("drop table if exists pg_temp.touched_logs"))
            done.append(f"{name} computed again: {changed} rows changed")
    if OUTCOME in wanted:
        done += _outcomes(engine, [one for one in differences if one.action == OUTCOME])
    if REQUEUE in wanted:
        reset = reset_stuck_jobs(engine, HANG_MINUTES, _of(differences, REQUEUE)).reset
        done += [f"job of challenge {one} queued again" for one in reset]
    for one in differences:
        if one.action == FLAGS and one.challenge_id is not None:
            with engine.begin() as connection:
                if proof_fields.merge(connection, one.challenge_id, dict(one.patch)):
                    done.append(f"proof of challenge {one.challenge_id}: {one.repair}")
    return done


def _of(differences: Sequence[Difference], action: str) -> list[int]:
    return [one.challenge_id or 0 for one in differences if one.action == action]


def _note_again(engine: Engine, challenge_ids: Sequence[int]) -> list[str]:
    done: list[str] = []
    with engine.begin() as connection:
        for one in jobs.misnoted(connection):
            if one.challenge_id not in challenge_ids:
                continue
            jobs.note_again(connection, one)
            done.append(f"challenge {one.challenge_id}: request {one.request_id} noted again")
    return done


def _outcomes(engine: Engine, differences: Sequence[Difference]) -> list[str]:
    found: dict[int, int] = {}
    for one in differences:
        outcome = dict(one.patch)["outcome"]
        if one.challenge_id is not None and isinstance(outcome, int):
            found[one.challenge_id] = outcome
    with engine.begin() as connection:
        written = ops.write_outcomes(connection, found)
    return [f"{written} outcomes written"]
