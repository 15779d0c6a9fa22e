"""Standings as a loop keeps them: each match read, one upsert for each wallet that played.

Open connections, prepared statements, matches by a server-side cursor, rosters and weights read
beforehand. Points are numeric, because adding up rounded ones would be wrong; which competitions
a wallet entered is kept in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import psycopg

from benchmarks.common import Progress, forget_peak
from benchmarks.judgement.season_rows import SCORING
from benchmarks.watch import watching

_TABLE = """
create table public.loop_standings (
    season_id uuid not null, wallet text not null, points numeric not null,
    wins integer not null, losses integer not null, draws integer not null,
    competitions_entered integer not null, updated_at timestamptz not null default now(),
    primary key (season_id, wallet))
"""
_MATCHES = """
select m.competition_id::text, m.participant_a, m.participant_b, m.score_a, m.score_b, m.winner
  from public.bracket_matches m
  join public.season_competitions s on s.competition_id = m.competition_id and s.season_id = %s
 where lower(m.status) = 'completed'
"""
_UPSERT = """
insert into public.loop_standings as t
    (season_id, wallet, points, wins, losses, draws, competitions_entered)
values (%s, %s, %s, %s, %s, %s, %s)
    on conflict (season_id, wallet) do update
   set points = t.points + excluded.points, wins = t.wins + excluded.wins,
       losses = t.losses + excluded.losses, draws = t.draws + excluded.draws,
       competitions_entered = t.competitions_entered + excluded.competitions_entered,
       updated_at = now()
"""
# Written as ours is, so that both tables can be compared: rounded half-up.
_RESULT = """
select md5(string_agg(concat_ws(' ', wallet, round(points)::bigint, wins, losses, draws,
                                competitions_entered), ','
                      order by round(points) desc, wins desc, losses, wallet collate "C"))
  from public.loop_standings
"""


@dataclass(slots=True)
class Loop:
    """One season's loop on an open connection; commits after so many upserts."""

    connection: psycopg.Connection[Any]
    season_id: str
    every: int
    weights: dict[str, Decimal]
    rosters: dict[str, list[str]]
    upserts: int = 0
    _entered: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])

    def take(self, match: tuple[Any, ...]) -> None:
        """Add one match to the standings."""
        competition, a, b, score_a, score_b, winner = match
        if winner is None:
            took = (score_a > score_b) - (score_a < score_b)
        else:
            took = 1 if winner == a else -1
        for side, its in ((a, took), (b, -took)):
            for wallet in self.rosters.get(side, [side]):
                self._add(competition, wallet, its)

    def _add(self, competition: str, wallet: str, took: int) -> None:
        outcome = {1: "win", 0: "draw", -1: "loss"}[took]
        points = SCORING[outcome] * self.weights[competition]
        new = (wallet, competition) not in self._entered
        self._entered.add((wallet, competition))
        values = (self.season_id, wallet, points, took == 1, took == -1, took == 0, new)
        self.connection.execute(_UPSERT, [*values[:3], *map(int, values[3:])], prepare=True)
        self.upserts += 1
        if self.upserts % self.every == 0:
            self.connection.commit()


def _matches(reader: psycopg.Connection[Any], season_id: str) -> Iterator[tuple[Any, ...]]:
    with reader.cursor(name="matches") as cursor:
        cursor.itersize = 1000
        cursor.execute(_MATCHES, (season_id,))
        yield from cursor


def _loop(connection: psycopg.Connection[Any], season_id: str, every: int) -> Loop:
    connection.execute(_TABLE)
    weights = connection.execute(
        "select competition_id::text, weight::text from public.season_competitions"
        " where season_id = %s",
        (season_id,),
    )
    rosters: dict[str, list[str]] = {}
    by_competition = {competition: Decimal(weight) for competition, weight in weights}
    for team, wallet in connection.execute("select team_id::text, wallet from public.team_roster"):
        rosters.setdefault(team, []).append(wallet)
    connection.commit()
    return Loop(connection, season_id, every, by_competition, rosters)


def run(arguments: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """In a child: all matches of ``season_id``, a commit after ``every`` so many upserts."""
    url, season_id, wanted = (arguments[name] for name in ("database_url", "season_id", "matches"))
    matches = 0
    with psycopg.connect(url) as connection, psycopg.connect(url) as reader:
        loop = _loop(connection, season_id, arguments["every"])
        forget_peak()
        with watching(url) as spent:
            for match in _matches(reader, season_id):
                loop.take(match)
                matches += 1
                if matches % max(1, wanted // 50) == 0:
                    progress(matches / wanted, f"a commit every {loop.every} upserts")
            connection.commit()
        row = connection.execute(_RESULT).fetchone()
    return {
        "matches": matches,
        "upserts": loop.upserts,
        "seconds": spent.seconds,
        "cpu_ours": spent.cpu_ours,
        "cpu_postgres": spent.cpu_postgres,
        "table": None if row is None else row[0],
    }
