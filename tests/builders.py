"""Rows as the web app, the chain's projections and the providers leave them, for any test.

Each builder commits its own row, fills in what the test does not care about, and returns the id.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from psycopg.types.json import Jsonb
from sqlalchemy import Engine, text

from lightchallenge_dagster.rules.evidence import evidence_hash
from lightchallenge_dagster.storage import verdicts

STARTS = datetime(2026, 3, 1, tzinfo=UTC)
ENDS = datetime(2026, 3, 8, tzinfo=UTC)
DEADLINE = datetime(2026, 3, 9, tzinfo=UTC)
CHAIN_ID = 504
HASH = "0x" + "11" * 32


def wallet(number: int) -> str:
    """The same lowercase wallet for the same number, ascending with it."""
    return f"0x{number:040x}"


def ts(moment: datetime) -> int:
    """Epoch seconds, as the chain counts."""
    return int(moment.timestamp())


def insert(engine: Engine, table: str, **values: Any) -> Any:
    """One row; dicts and lists of dicts become JSON. Returns the first column of the row."""
    columns = ", ".join(f'"{name}"' for name in values)
    places = ", ".join(f":{name}" for name in values)
    with engine.begin() as connection:
        row = connection.execute(
            text(f"insert into {table} ({columns}) values ({places}) returning *"),  # noqa: S608
            {
                name: Jsonb(value)
                if isinstance(value, dict)
                or (isinstance(value, list) and value and isinstance(value[0], dict))
                else value
                for name, value in values.items()
            },
        ).one()
    return row[0]


def rows(engine: Engine, query: str, **values: Any) -> list[tuple[Any, ...]]:
    """The rows of a query as plain tuples."""
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query), values)]


def execute(engine: Engine, statement: str, **values: Any) -> int:
    """Run one statement and commit; returns how many rows it touched."""
    with engine.begin() as connection:
        return connection.execute(text(statement), values).rowcount


def distance_rule(km: float, **more: Any) -> dict[str, Any]:
    """``params`` with a simplified rule: so many kilometres in total."""
    return {
        "rules": {
            "type": "fitness",
            "metric": "distance_km",
            "threshold": km,
            "period": "total",
        },
        **more,
    }


def competitive(top_n: int = 1, metric: str = "distance_km") -> dict[str, Any]:
    """``params`` of a competitive challenge over everything run in it."""
    return {
        "rule": {
            "challengeType": "run",
            "period": {"start": STARTS.isoformat(), "end": ENDS.isoformat(), "timezone": "UTC"},
            "mode": "competitive",
            "topN": top_n,
            "competitiveMetric": metric,
        }
    }


def challenge(
    engine: Engine,
    challenge_id: int,
    params: dict[str, Any] | None = None,
    *,
    starts: datetime = STARTS,
    ends: datetime = ENDS,
    deadline: datetime = DEADLINE,
    chain: bool = True,
    chain_status: str = "Active",
    creator: str = wallet(99),
    **columns: Any,
) -> int:
    """A challenge whose ``proof.params`` are ``params``, with its row on chain unless told not."""
    values: dict[str, Any] = {
        "title": f"Challenge {challenge_id}",
        "subject": creator,
        "status": chain_status,
        "proof": {"params": params or {}},
        "timeline": {"startsAt": ts(starts), "endsAt": ts(ends), "proofDeadline": ts(deadline)},
        "created_at": starts,
        "updated_at": starts,
    }
    insert(engine, "public.challenges", id=challenge_id, **(values | columns))
    if chain:
        on_chain(
            engine,
            challenge_id,
            starts=starts,
            ends=ends,
            deadline=deadline,
            status=chain_status,
            creator=creator,
        )
    return challenge_id


def on_chain(
    engine: Engine,
    challenge_id: int,
    *,
    starts: datetime = STARTS,
    ends: datetime = ENDS,
    deadline: datetime = DEADLINE,
    status: str = "Active",
    creator: str = wallet(99),
) -> int:
    """What the chain's projection knows about a challenge."""
    return insert(
        engine,
        "pipeline.chain_challenges",
        challenge_id=challenge_id,
        chain_id=CHAIN_ID,
        creator=creator,
        kind=0,
        currency=0,
        token="0x" + "00" * 20,
        stake_wei=10**18,
        join_closes_ts=ts(starts),
        start_ts=ts(starts),
        end_ts=ts(ends),
        proof_deadline_ts=ts(deadline),
        max_participants=0,
        verifier="0x" + "aa" * 20,
        external_id=HASH,
        status=status,
        created_block=1,
        created_tx=HASH,
    )


def stake(engine: Engine, challenge_id: int, *subjects: str, wei: int = 10**18) -> None:
    """Stakes on chain."""
    for subject in subjects:
        insert(
            engine,
            "pipeline.stakes",
            challenge_id=challenge_id,
            subject=subject,
            amount_wei=wei,
            joined_ts=ts(STARTS),
            tx_hash=HASH,
        )


def run(km: float, day: int = 2, **fields: Any) -> dict[str, Any]:
    """A run on the given day of March 2026."""
    start = datetime(2026, 3, day, 8, tzinfo=UTC)
    return {
        "type": "run",
        "activity_id": f"run-{day}-{km}",
        "start": start.isoformat(),
        "end": (start + timedelta(hours=1)).isoformat(),
        "distance_km": km,
        "duration_min": 60,
        **fields,
    }


def evidence(
    engine: Engine,
    challenge_id: int,
    subject: str,
    records: Sequence[Any],
    *,
    provider: str = "strava",
    at: datetime = STARTS + timedelta(days=2),
) -> int:
    """A row of evidence that was submitted ``at``."""
    return insert(
        engine,
        "public.evidence",
        challenge_id=challenge_id,
        subject=subject,
        provider=provider,
        data=Jsonb(list(records)),
        evidence_hash=evidence_hash(json.loads(json.dumps(list(records)))),
        created_at=at,
        updated_at=at,
    )


def verdict(
    engine: Engine,
    challenge_id: int,
    subject: str,
    *,
    passed: bool = True,
    score: Any = 1,
    at: datetime = STARTS + timedelta(days=2),
    **columns: Any,
) -> int:
    """A verdict of ours, without the evidence behind it."""
    values: dict[str, Any] = {
        "reasons": [] if passed else ["not enough"],
        "evidence_hash": HASH,
        "evaluator": "fitness",
        "metadata": {},
    }
    return insert(
        engine,
        "public.verdicts",
        challenge_id=challenge_id,
        subject=subject,
        **{"pass": passed},
        score=score,
        created_at=at,
        updated_at=at,
        **(values | columns),
    )


def judgement(engine: Engine, challenge_id: int, subject: str, *, final_when: str = "now") -> int:
    """That a verdict is ours, and from when its pass is final."""
    return insert(
        engine,
        "pipeline.judgements",
        challenge_id=challenge_id,
        subject=subject,
        inputs_hash="inputs",
        final_when=final_when,
    )


def proved_verdict(
    engine: Engine,
    challenge_id: int,
    subject: str,
    *,
    final_when: str = "now",
    at: datetime = STARTS + timedelta(days=2),
    **columns: Any,
) -> int:
    """A verdict of ours as it was stored, with its evidence; nothing is pending to be judged.

    The challenge's plan has to be there, and up to date.
    """
    row_id = evidence(engine, challenge_id, subject, [run(6)], at=at)
    query = "select evidence_hash from public.evidence where id = :id"
    ((proof,),) = rows(engine, query, id=row_id)
    made = verdict(engine, challenge_id, subject, at=at, evidence_hash=proof, **columns)
    with engine.connect() as connection:
        known = verdicts.pending(connection, challenge_ids=[challenge_id], everything=True)
    insert(
        engine,
        "pipeline.judgements",
        challenge_id=challenge_id,
        subject=subject.lower(),
        inputs_hash=next(one.inputs_hash for one in known if one.subject == subject.lower()),
        final_when=final_when,
    )
    return made


def plan(
    engine: Engine,
    challenge_id: int,
    *,
    mode: str = "threshold",
    top_n: int = 1,
    ends: datetime = ENDS,
    deadline: datetime = DEADLINE,
) -> int:
    """A plan, for tests without a challenge row to parse."""
    return insert(
        engine,
        "pipeline.challenge_plans",
        challenge_id=challenge_id,
        config_hash=f"plan-{challenge_id}:0:0",
        mode=mode,
        top_n=top_n,
        starts_at=STARTS,
        ends_at=ends,
        proof_deadline=deadline,
        ranking_closes_at=deadline - timedelta(hours=2),
        partition_key=ends.date().isoformat(),
    )


def intent(engine: Engine, challenge_id: int, subject: str, kind: str = "bind") -> str:
    """An ordered transaction for a wallet."""
    return insert(
        engine,
        "pipeline.intents",
        key=f"{kind}:{challenge_id}:{subject}",
        chain_id=CHAIN_ID,
        kind=kind,
        challenge_id=challenge_id,
        subject=subject,
        signer=wallet(1000),
        to_address=wallet(1001),
        data="0x",
    )


def binding(engine: Engine, challenge_id: int, subject: str, request_id: int = 1) -> int:
    """A binding on chain."""
    return insert(
        engine,
        "pipeline.bindings",
        challenge_id=challenge_id,
        subject=subject,
        request_id=request_id,
        task_id=HASH,
        model_digest=HASH,
        params_hash=HASH,
        benchmark_hash=HASH,
        schema_version=1,
        tx_hash=HASH,
        block_number=10,
    )


def chain_winner(engine: Engine, challenge_id: int, subject: str) -> int:
    """``isWinner`` on chain."""
    return insert(
        engine,
        "pipeline.chain_winners",
        challenge_id=challenge_id,
        subject=subject,
        block_number=11,
        tx_hash=HASH,
    )


def mint(engine: Engine, token_id: int, recipient: str, kind: str = "completion") -> int:
    """An achievement."""
    return insert(
        engine,
        "public.achievement_mints",
        token_id=token_id,
        challenge_id=7,
        recipient=recipient,
        achievement_type=kind,
        tx_hash=HASH,
        block_number=12,
    )


def season(engine: Engine, **columns: Any) -> str:
    """A season; its id as text."""
    return str(insert(engine, "public.seasons", id=uuid4(), name="Spring", **columns))


def competition(
    engine: Engine,
    season_id: str,
    *,
    weight: float = 1.0,
    challenge_ids: Sequence[int] = (),
    **columns: Any,
) -> str:
    """A competition of a season; its id as text."""
    competition_id = str(
        insert(
            engine,
            "public.competitions",
            id=uuid4(),
            title="Cup",
            challenge_ids=list(challenge_ids),
            **columns,
        )
    )
    insert(
        engine,
        "public.season_competitions",
        season_id=season_id,
        competition_id=competition_id,
        weight=weight,
    )
    return competition_id


def match(
    engine: Engine,
    competition_id: str,
    a: str | None,
    b: str | None,
    *,
    number: int = 1,
    status: str = "completed",
    **columns: Any,
) -> str:
    """A bracket match, completed unless told otherwise."""
    return str(
        insert(
            engine,
            "public.bracket_matches",
            id=uuid4(),
            competition_id=competition_id,
            round=1,
            match_number=number,
            participant_a=a,
            participant_b=b,
            status=status,
            **columns,
        )
    )


def team(engine: Engine, *wallets: str) -> str:
    """A team with its roster; its id as text."""
    slug = uuid4().hex
    org_id = insert(
        engine,
        "public.organizations",
        id=uuid4(),
        name="Club",
        slug=slug,
        owner_wallet=wallet(500),
    )
    team_id = str(insert(engine, "public.teams", id=uuid4(), org_id=org_id, name="Team"))
    for member in wallets:
        insert(engine, "public.team_roster", team_id=team_id, wallet=member)
    return team_id
