"""Season standings: from bracket matches and finalized challenges to points per wallet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lightchallenge_dagster.errors import PermanentError
from lightchallenge_dagster.storage import frames
from lightchallenge_dagster.storage import standings as storage

if TYPE_CHECKING:
    import polars as pl
    from sqlalchemy import Engine


@dataclass(frozen=True, slots=True)
class StandingsReport:
    """What one computation of a season did to its rows.

    ``problem`` says why the season could not be scored; its rows are then as they were.
    """

    season_id: str
    competitions: int = 0
    results: int = 0
    wallets: int = 0
    inserted: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    problem: str | None = None


def pending(engine: Engine) -> list[str]:
    """Seasons whose inputs are not those their standings were made from."""
    with engine.connect() as connection:
        known = storage.computed(connection)
        now = storage.fingerprints(connection)
    return [
        season_id for season_id, inputs_hash in now.items() if known.get(season_id) != inputs_hash
    ]


def compute(engine: Engine, season_id: str) -> StandingsReport:
    """Compute a season's standings and replace them in one transaction; only changes are written.

    A season that cannot be scored (an unclear match, a malformed ``scoring_config`` or weight) is
    left as it was and remembered with its problem until its inputs change; it does not stop the
    others. Raises ``PermanentError`` for a season that is not there.
    """
    from lightchallenge_dagster.rules import standings as rules

    with engine.begin() as connection:
        frames.roomy(connection)
        storage.lock(connection, season_id)
        inputs_hash = storage.fingerprints(connection, season_id).get(season_id)
        if inputs_hash is None:
            raise PermanentError(
                f"there is no season {season_id} in public.seasons; remove its partition"
            )
        inputs = storage.inputs(connection, season_id)
        try:
            results = _results(inputs)
            table = rules.standings(results, rules.parse_scoring(inputs.scoring_config))
            rules.refuse_unconserved(results, table)
        except rules.SeasonError as error:
            storage.remember(connection, season_id, inputs_hash, str(error))
            return StandingsReport(season_id, competitions=len(inputs.weights), problem=str(error))
        inserted, changed, removed = storage.replace(connection, season_id, table)
        storage.remember(connection, season_id, inputs_hash, None)
    return StandingsReport(
        season_id=season_id,
        competitions=len(inputs.weights),
        results=results.height,
        wallets=table.height,
        inserted=inserted,
        changed=changed,
        removed=removed,
        unchanged=table.height - inserted - changed,
    )


def _results(inputs: storage.SeasonInputs) -> pl.DataFrame:
    import polars as pl

    from lightchallenge_dagster.rules import standings as rules

    for competition in inputs.contradictory:
        raise rules.SeasonError(
            f"competition {competition} is listed more than once in season_competitions, with "
            "different weights; keep one of the rows"
        )
    for competition, weight in inputs.weights.items():
        if weight is None:
            raise rules.SeasonError(
                f"the weight of competition {competition} in season_competitions is null; write a "
                "number"
            )
    weights = pl.DataFrame(
        {"competition_id": list(inputs.weights), "weight": list(inputs.weights.values())},
        schema={"competition_id": pl.String, "weight": pl.String},
    )
    found = pl.concat([rules.match_results(inputs.matches, inputs.rosters), inputs.stakers])
    return found.join(weights, on="competition_id", how="inner")
