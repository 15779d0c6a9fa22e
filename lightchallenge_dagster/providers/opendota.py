"""OpenDota: a player's Dota 2 matches, as canonical gaming records.

Source: the API's own description (https://docs.opendota.com), ``GET /players/{id}/matches`` and
``GET /heroes``. A player who is unknown or keeps the match history private has an empty list; the
API cannot tell the two apart. Its default filter ``significant=1`` stays on: it leaves out turbo
and other non-standard modes.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, TypeGuard, cast

from lightchallenge_dagster.providers.collector import Fetched, Record
from lightchallenge_dagster.providers.errors import ProviderMisreadError, ProviderRefusedError
from lightchallenge_dagster.providers.http import JsonApi

if TYPE_CHECKING:
    from datetime import datetime

STEAM64_OFFSET = 76_561_197_960_265_728
"""A Steam64 id is this plus the Steam32 account id."""

_ANONYMOUS = 2**32 - 1
_DIRE = 128
# match_id, player_slot and radiant_win are always sent. Nothing that OpenDota fills in later
# (version, average_rank, party_size): it would make old matches look new.
_FIELDS = (
    "hero_id", "start_time", "duration", "game_mode", "lobby_type",
    "kills", "deaths", "assists", "hero_damage",
)  # fmt: skip
_STATISTICS = ("kills", "deaths", "assists", "hero_damage")


def steam32(external_id: str) -> int:
    """The Steam32 account id of a Steam32 or Steam64 id, given as decimal text.

    Raises ``ProviderRefusedError`` for anything else, and for the id that stands for "anonymous".
    """
    text = external_id.strip()
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else 0
    if number >= STEAM64_OFFSET:
        number -= STEAM64_OFFSET
    if not 0 < number < _ANONYMOUS:
        raise ProviderRefusedError(
            f"{external_id[:40]!r} is no Steam id; expected a Steam32 account id or a Steam64 id"
        )
    return number


class OpenDota:
    """The client of one OpenDota server.

    ``base_url`` is ``OPENDOTA_BASE`` with or without the trailing ``/api``. ``api_key`` travels in
    a header. Anonymous callers have 60 requests a minute, which this client keeps to.
    """

    def __init__(
        self, base_url: str, *, api_key: str | None = None, http: JsonApi | None = None
    ) -> None:
        base = base_url.strip().rstrip("/")
        if not base.endswith("/api"):
            base += "/api"
        self._http = http or JsonApi(
            base,
            per_minute=None if api_key else 60,
            headers={"Authorization": f"Bearer {api_key}"} if api_key else None,
        )
        self._heroes: dict[int, str] | None = None

    def account(self, external_id: str) -> str:
        """The Steam32 id as text."""
        return str(steam32(external_id))

    def fetch(self, account: str, lookback_days: int, now: datetime) -> Fetched:
        """Matches that started within ``lookback_days`` before ``now``, oldest first.

        Matches without a known result, and entries that are no complete match, are left out and
        counted. Raises the errors of ``JsonApi.get``, and ``ProviderMisreadError`` when the answer
        is no list of matches.
        """
        path = f"/players/{account}/matches"
        answer = self._http.get(path, {"date": lookback_days, "project": _FIELDS})
        if not isinstance(answer, list):
            raise ProviderMisreadError(f"OpenDota{path} did not answer with a list of matches")
        matches = cast("list[Any]", answer)
        heroes = self.heroes() if matches else {}
        since = now.timestamp() - lookback_days * 86_400
        skipped: Counter[str] = Counter()
        records: dict[int, Record] = {}
        for match in matches:
            record = _canonical(match, heroes)
            if isinstance(record, str):
                skipped[record] += 1
            elif record["start_time"] >= since:
                records[record["match_id"]] = record
        ordered = sorted(records.values(), key=lambda one: (one["start_time"], one["match_id"]))
        return Fetched(tuple(ordered), dict(skipped))

    def heroes(self) -> dict[int, str]:
        """Hero names by id, asked for once."""
        if self._heroes is None:
            answer = self._http.get("/heroes")
            if not isinstance(answer, list):
                raise ProviderMisreadError("OpenDota/heroes did not answer with a list of heroes")
            names: dict[int, str] = {}
            for hero in cast("list[Any]", answer):
                entry = cast("dict[str, Any]", hero) if isinstance(hero, dict) else {}
                number, name = entry.get("id"), entry.get("localized_name")
                if _is_count(number) and isinstance(name, str):
                    names[number] = name
            self._heroes = names
        return self._heroes

    def recognises(self, record: object) -> bool:
        """Whether it says which match it is and when that started."""
        if not isinstance(record, dict):
            return False
        row = cast("dict[str, Any]", record)
        return (
            _is_count(row.get("match_id"))
            and _is_count(row.get("start_time"))
            and _is_count(row.get("duration_s", 0))
        )

    def key(self, record: Record) -> str | None:
        """The match id."""
        match_id = record.get("match_id")
        return None if match_id is None else str(match_id)

    def span(self, record: Record) -> tuple[float, float]:
        """From the start of the match to its end."""
        started = record["start_time"]
        return started, started + record.get("duration_s", 0)


def _canonical(match: object, heroes: dict[int, str]) -> Record | str:
    """The canonical record, or the reason why there is none."""
    if not isinstance(match, dict):
        return "not a match"
    row = cast("dict[str, Any]", match)
    match_id, started, slot = row.get("match_id"), row.get("start_time"), row.get("player_slot")
    if not (_is_count(match_id) and _is_count(started) and _is_count(slot)):
        return "without match_id, start_time or player_slot"
    radiant_win = row.get("radiant_win")
    if not isinstance(radiant_win, bool):
        return "without a result"
    won = (slot < _DIRE) == radiant_win
    record: Record = {
        "match_id": match_id,
        "start_time": started,
        "result_for_player": "win" if won else "loss",
    }
    if _is_count(row.get("duration")):
        record["duration_s"] = row["duration"]
    for name in ("lobby_type", "game_mode", "hero_id", *_STATISTICS):
        if _is_count(row.get(name)):
            record[name] = row[name]
    hero = heroes.get(record.get("hero_id", 0))
    if hero is not None:
        record["hero_name"] = hero
    return record


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63
