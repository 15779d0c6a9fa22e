"""What the web app writes: plain SQL on its own tables, right after a user's transaction.

The pipeline finds these rows as it would in production. Nothing is written here that the pipeline
writes (participants, evidence, verdicts, jobs, claims, statuses).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
from eth_utils.crypto import keccak

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Model:
    """One row of the AIVM model registry. ``sources``: providers whose evidence it accepts."""

    id: str
    label: str
    sources: tuple[str, ...]
    file_accept: tuple[str, ...] = ()

    @property
    def hash(self) -> str:
        """The model's digest on chain: 32 bytes, 0x-hex."""
        return "0x" + keccak(text=self.id).hex()


WALKING = Model(
    "apple_health.steps@1",
    "Steps in a window",
    ("apple", "garmin", "fitbit", "googlefit", "strava"),
    (".zip", ".json"),
)
RUNNING = Model(
    "strava.distance_in_window@2",
    "Distance in a window",
    ("apple", "garmin", "strava"),
    (".zip", ".json"),
)
DOTA = Model("opendota.ranked_wins@1", "Ranked Dota 2 wins", ("opendota",))
MODELS = (WALKING, RUNNING, DOTA)


def connect(database_url: str) -> Connection:
    """A connection of the web app's own; each statement commits at once."""
    return psycopg.connect(database_url, autocommit=True)


def add_models(connection: Connection, verifier: str) -> None:
    """The admin enters the models (PUT /api/admin/models)."""
    for model in MODELS:
        connection.execute(
            "insert into public.models (id, label, kind, model_hash, verifier, binding, signals, "
            "params_schema, sources, file_accept) "
            "values (%s, %s, 'aivm', %s, %s, true, '[]', '{}', %s, %s)",
            (
                model.id,
                model.label,
                model.hash,
                verifier,
                json.dumps(model.sources),
                json.dumps(model.file_accept),
            ),
        )


def save_challenge(
    connection: Connection,
    *,
    challenge_id: int,
    title: str,
    description: str,
    creator: str,
    tx_hash: str,
    model: Model,
    rule: Mapping[str, Any],
    start_ts: int,
    end_ts: int,
    proof_deadline_ts: int,
    stake_wei: int,
) -> None:
    """The creator's browser posts the challenge it has just created (POST /api/challenges).

    ``rule`` goes to ``proof.params``: as ``rules`` where it is a simplified one (it has a
    ``metric``), else as ``rule``. The indexer may have seen the chain first; then its row is
    completed, and its status stays.
    """
    params = {"rules" if "metric" in rule else "rule": dict(rule)}
    proof = {
        "backend": "lightchain_poi",
        "modelId": model.id,
        "paramsHash": digest(params),
        "benchmarkHash": digest({"model": model.id, "schema": "lc-aivm-eval-v1"}),
        "params": params,
    }
    timeline = {
        "startsAt": _iso(start_ts),
        "endsAt": _iso(end_ts),
        "proofDeadline": _iso(proof_deadline_ts),
    }
    funds = {"stake": {"native": str(stake_wei)}, "currency": {"type": "NATIVE", "symbol": "LCAI"}}
    connection.execute(
        "insert into public.challenges (id, title, description, subject, tx_hash, model_id, "
        "model_hash, params, proof, timeline, funds, options, status, created_at, updated_at) "
        "values (%s, %s, %s, %s, %s, %s, %s, '{}', %s, %s, %s, '{}', 'Active', now(), now()) "
        "on conflict (id) do update set title = excluded.title, "
        "description = excluded.description, subject = excluded.subject, "
        "tx_hash = excluded.tx_hash, model_id = excluded.model_id, "
        "model_hash = excluded.model_hash, params = excluded.params, proof = excluded.proof, "
        "timeline = excluded.timeline, funds = excluded.funds, options = excluded.options, "
        "updated_at = now()",
        (
            challenge_id,
            title,
            description,
            creator,
            tx_hash,
            model.id,
            model.hash,
            json.dumps(proof),
            json.dumps(timeline),
            json.dumps(funds),
        ),
    )


def link_account(connection: Connection, wallet: str, provider: str, external_id: str) -> None:
    """A user links a provider's account (POST /api/accounts/link)."""
    connection.execute(
        "insert into public.linked_accounts (subject, provider, external_id) values (%s, %s, %s)",
        (wallet, provider, external_id),
    )


@dataclass(frozen=True, slots=True)
class Match:
    """A completed match of a bracket; sides are wallets or team ids, ``winner`` None for none."""

    a: str
    b: str
    score_a: int
    score_b: int
    winner: str | None


def add_team(connection: Connection, organization: UUID, name: str, roster: Sequence[str]) -> UUID:
    """An organization's team; its first wallet is the captain."""
    team = uuid4()
    connection.execute(
        "insert into public.teams (id, org_id, name) values (%s, %s, %s)",
        (team, organization, name),
    )
    for position, wallet in enumerate(roster):
        connection.execute(
            "insert into public.team_roster (team_id, wallet, role) values (%s, %s, %s)",
            (team, wallet, "player" if position else "captain"),
        )
    return team


def add_organization(connection: Connection, name: str, slug: str, owner: str) -> UUID:
    """A new organization, owned by a wallet (POST /api/org/new)."""
    organization = uuid4()
    connection.execute(
        "insert into public.organizations (id, name, slug, owner_wallet) values (%s, %s, %s, %s)",
        (organization, name, slug, owner),
    )
    return organization


def add_season(connection: Connection, organization: UUID, name: str) -> UUID:
    """A running season with the usual points: 3 for a win, 1 for a draw, 0 for a loss."""
    season = uuid4()
    connection.execute(
        "insert into public.seasons (id, org_id, name, scoring_config) values (%s, %s, %s, %s)",
        (season, organization, name, json.dumps({"win": 3, "draw": 1, "loss": 0})),
    )
    return season


def add_bracket(
    connection: Connection,
    organization: UUID,
    season: UUID,
    title: str,
    weight: float,
    matches: Sequence[Match],
) -> UUID:
    """A played-out bracket, counted in the season with ``weight``."""
    competition = _competition(connection, organization, title, "bracket", [])
    for number, match in enumerate(matches, start=1):
        connection.execute(
            "insert into public.bracket_matches (competition_id, round, match_number, "
            "participant_a, participant_b, score_a, score_b, winner, status, completed_at) "
            "values (%s, 1, %s, %s, %s, %s, %s, %s, 'completed', now())",
            (
                competition,
                number,
                match.a,
                match.b,
                match.score_a,
                match.score_b,
                match.winner,
            ),
        )
    _count_in(connection, season, competition, weight)
    return competition


def add_challenge_series(
    connection: Connection,
    organization: UUID,
    season: UUID,
    title: str,
    weight: float,
    challenge_ids: Sequence[int],
) -> UUID:
    """A competition made of on-chain challenges, counted in the season with ``weight``."""
    competition = _competition(connection, organization, title, "challenge", challenge_ids)
    _count_in(connection, season, competition, weight)
    return competition


def _competition(
    connection: Connection,
    organization: UUID,
    title: str,
    kind: str,
    challenge_ids: Sequence[int],
) -> UUID:
    competition = uuid4()
    connection.execute(
        "insert into public.competitions (id, org_id, title, type, status, challenge_ids) "
        "values (%s, %s, %s, %s, 'active', %s)",
        (competition, organization, title, kind, list(challenge_ids)),
    )
    return competition


def _count_in(connection: Connection, season: UUID, competition: UUID, weight: float) -> None:
    connection.execute(
        "insert into public.season_competitions (season_id, competition_id, weight) "
        "values (%s, %s, %s)",
        (season, competition, weight),
    )


def digest(value: object) -> str:
    """keccak256 of the value's canonical JSON, as the web app hashes its parameters."""
    return "0x" + keccak(text=json.dumps(value, sort_keys=True, separators=(",", ":"))).hex()


def _iso(timestamp: int) -> str:
    return datetime.fromtimestamp(timestamp, UTC).isoformat().replace("+00:00", "Z")
