"""A local OpenDota: the part of the real API that tells a player's matches, as a process.

``python -m lightchallenge_dagster.devnet.opendota --port 0 --data players.json`` prints its
address on the first line and serves until it is stopped. Paths, parameters, answers and refusals
follow the real API (https://docs.opendota.com and odota/core): an unknown player has an empty list
of matches, ``/players/{id}`` of one is a 404, a non-numeric id a 400, the limit a 429 without
``Retry-After``.

The data file is ``{"players": {"<steam32 id>": {"personaname", "private", "matches": [...]}}}``;
a match needs ``match_id, start_time, player_slot, radiant_win, hero_id``, the rest is filled in.
What players do while it runs is posted to ``/admin`` (no such thing at the real one):

- ``POST /admin/players/{id}/matches``: a match or a list of them, added to the history
- ``POST /admin/players/{id}``: ``{"private": true}``, ``{"personaname": ...}``
- ``POST /admin/trouble``: ``{"status": 503, "times": n, "retry_after": seconds, "path": "…"}``, the
  answer to the next ``n`` requests whose path contains ``path``
- ``POST /admin/limit``: ``{"per_minute": n}``
- ``GET /admin/requests``: the API paths asked for so far
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

HEROES: Mapping[int, tuple[str, str]] = {
    1: ("antimage", "Anti-Mage"),
    2: ("axe", "Axe"),
    5: ("crystal_maiden", "Crystal Maiden"),
    8: ("juggernaut", "Juggernaut"),
    11: ("nevermore", "Shadow Fiend"),
    14: ("pudge", "Pudge"),
    22: ("zuus", "Zeus"),
    25: ("lina", "Lina"),
    26: ("lion", "Lion"),
    44: ("phantom_assassin", "Phantom Assassin"),
    74: ("invoker", "Invoker"),
    86: ("rubick", "Rubick"),
    114: ("monkey_king", "Monkey King"),
}

_ALWAYS = ("match_id", "player_slot", "radiant_win")
_BY_DEFAULT = (
    "hero_id", "start_time", "duration", "game_mode", "lobby_type", "version", "kills", "deaths",
    "assists", "average_rank", "leaver_status", "party_size", "hero_variant",
)  # fmt: skip
_RECENT = (
    *_BY_DEFAULT, "xp_per_min", "gold_per_min", "hero_damage", "tower_damage", "hero_healing",
    "last_hits", "lane", "lane_role", "is_roaming", "cluster",
)  # fmt: skip
_MATCH_DEFAULTS: Mapping[str, Any] = {
    "duration": 2400, "game_mode": 22, "lobby_type": 7, "version": 21, "kills": 0, "deaths": 0,
    "assists": 0, "average_rank": 53, "leaver_status": 0, "party_size": 1, "hero_variant": 1,
    "xp_per_min": 600, "gold_per_min": 450, "hero_damage": 15000, "tower_damage": 1200,
    "hero_healing": 0, "last_hits": 180, "lane": 2, "lane_role": 2, "is_roaming": False,
    "cluster": 133,
}  # fmt: skip
# "balanced" in odota/dotaconstants: what the filter `significant` lets through.
_BALANCED_MODES = frozenset({1, 2, 3, 4, 5, 12, 16, 17, 22})
_BALANCED_LOBBIES = frozenset({0, 1, 2, 5, 6, 7, 9})
_RECENT_LIMIT = 20
_PLAYERS_PER_MATCH = 10


@dataclass(slots=True)
class _Player:
    personaname: str
    private: bool = False
    matches: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


@dataclass(slots=True)
class _Trouble:
    status: int
    times: int
    retry_after: str | None
    path: str


class World:
    """The players and their matches, and what is wrong with the server; safe between threads."""

    def __init__(self, data: Mapping[str, Any] | None = None) -> None:
        self._lock = threading.Lock()
        self._players: dict[int, _Player] = {}
        self._troubles: list[_Trouble] = []
        self._per_minute: int | None = None
        self._minute: tuple[int, int] = (0, 0)
        self.requests: list[str] = []
        players = cast("Mapping[str, Mapping[str, Any]]", (data or {}).get("players", {}))
        for account, player in players.items():
            self.set_player(int(account), player)
            self.add(int(account), player.get("matches", []))

    def set_player(self, account: int, values: Mapping[str, Any]) -> None:
        """Create the player, or change name and privacy."""
        with self._lock:
            player = self._players.setdefault(account, _Player(f"player {account}"))
            player.personaname = str(values.get("personaname", player.personaname))
            player.private = bool(values.get("private", player.private))

    def add(self, account: int, matches: Any) -> int:
        """Add a match or a list of them; ``ValueError`` for one that lacks its essentials."""
        many = cast("list[dict[str, Any]]", matches if isinstance(matches, list) else [matches])
        for match in many:
            for name in (*_ALWAYS, "start_time", "hero_id"):
                if name not in match:
                    raise ValueError(f"a match without {name}")
        with self._lock:
            player = self._players.setdefault(account, _Player(f"player {account}"))
            player.matches += [{**_MATCH_DEFAULTS, **match} for match in many]
            # The real one answers newest first.
            player.matches.sort(key=lambda match: (match["start_time"], match["match_id"]))
            player.matches.reverse()
        return len(many)

    def trouble(self, values: Mapping[str, Any]) -> None:
        """Answer the next requests with a refusal."""
        wait = values.get("retry_after")
        with self._lock:
            self._troubles.append(
                _Trouble(
                    int(values.get("status", 503)),
                    int(values.get("times", 1)),
                    None if wait is None else str(wait),
                    str(values.get("path", "")),
                )
            )

    def limit(self, per_minute: int | None) -> None:
        """Refuse what goes beyond so many requests in a clock minute."""
        with self._lock:
            self._per_minute = per_minute

    def refusal(self, path: str) -> tuple[int, dict[str, str], Any] | None:
        """What this request is answered instead of its answer: status, headers, body."""
        with self._lock:
            self.requests.append(path)
            for trouble in self._troubles:
                if trouble.times > 0 and trouble.path in path:
                    trouble.times -= 1
                    wait = trouble.retry_after
                    headers = {} if wait is None else {"Retry-After": wait}
                    return trouble.status, headers, {"error": "Internal Server Error"}
            if self._per_minute is None:
                return None
            minute = int(time.time() // 60)
            used = self._minute[1] + 1 if self._minute[0] == minute else 1
            self._minute = (minute, used)
            left = self._per_minute - used
            if left >= 0:
                return None
            headers = {"X-Rate-Limit-Remaining-Minute": str(left)}
            return 429, headers, {"error": "minute rate limit exceeded"}

    def player(self, account: int) -> dict[str, Any] | None:
        """``/players/{id}``, or None for a 404."""
        with self._lock:
            player = self._players.get(account)
        if player is None:
            return None
        return {
            "profile": {
                "account_id": account,
                "personaname": player.personaname,
                "name": None,
                "plus": False,
                "cheese": 0,
                "steamid": str(account + 76561197960265728),
                "fh_unavailable": player.private,
                "is_contributor": False,
                "is_subscriber": False,
            },
            "rank_tier": 53,
            "leaderboard_rank": None,
            "computed_mmr": None,
            "computed_mmr_turbo": None,
            "aliases": [],
        }

    def matches(self, account: int, query: Mapping[str, list[str]]) -> list[dict[str, Any]]:
        """The player's matches that pass the filters of ``query``, newest first, all fields."""
        with self._lock:
            player = self._players.get(account)
            found = [] if player is None or player.private else list(player.matches)
        first = {name: _number(values[0]) for name, values in query.items()}
        if first.get("significant") != 0:
            found = [match for match in found if _significant(match)]
        if (days := first.get("date")) is not None:
            oldest = time.time() - days * 86_400
            found = [match for match in found if match["start_time"] > oldest]
        if (win := first.get("win")) is not None:
            found = [match for match in found if int(_won(match)) == win]
        for name in ("hero_id", "lobby_type", "game_mode", "leaver_status"):
            if (wanted := first.get(name)) is not None:
                found = [match for match in found if match.get(name) == wanted]
        offset, limit = int(first.get("offset") or 0), first.get("limit")
        return found[offset:] if limit is None else found[offset : offset + int(limit)]

    def match(self, match_id: int) -> dict[str, Any] | None:
        """``/matches/{id}`` with the players that are known here, or None for a 404."""
        with self._lock:
            played = [
                (account, player.personaname, match)
                for account, player in self._players.items()
                for match in player.matches
                if match["match_id"] == match_id
            ]
        if not played:
            return None
        shared = ("match_id", "radiant_win", "duration", "start_time", "game_mode", "lobby_type")
        players = [
            {"account_id": account, "personaname": name, "isRadiant": _radiant(match), **match}
            for account, name, match in played[:_PLAYERS_PER_MATCH]
        ]
        return {**{name: played[0][2].get(name) for name in shared}, "players": players}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    world: World

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        if url.path == "/admin/requests":
            self._send(200, self.world.requests)
            return
        refused = self.world.refusal(url.path)
        if refused is not None:
            self._send(refused[0], refused[2], refused[1])
            return
        status, body = self._answer(url.path.strip("/").split("/"), query)
        self._send(status, body)

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        try:
            body = json.loads(self.rfile.read(length) or b"{}")
            parts = urlsplit(self.path).path.strip("/").split("/")
            match parts:
                case ["admin", "players", account, "matches"]:
                    self._send(200, {"added": self.world.add(int(account), body)})
                case ["admin", "players", account]:
                    self.world.set_player(int(account), body)
                    self._send(200, {})
                case ["admin", "trouble"]:
                    self.world.trouble(body)
                    self._send(200, {})
                case ["admin", "limit"]:
                    self.world.limit(body.get("per_minute"))
                    self._send(200, {})
                case _:
                    self._send(404, {"error": "Not Found"})
        except (ValueError, TypeError, AttributeError) as error:
            self._send(400, {"error": str(error)})

    def _answer(self, parts: list[str], query: dict[str, list[str]]) -> tuple[int, Any]:
        missing = 404, {"error": "Not Found"}
        match parts:
            case ["api", "heroes"]:
                return 200, [_hero(number) for number in HEROES]
            case ["api", "constants", "heroes"]:
                return 200, {str(number): _hero(number) for number in HEROES}
            case ["api", "players", account, *rest]:
                if not (account.isascii() and account.isdigit()):
                    return 400, {"error": "invalid account id"}
                return self._player(int(account), rest, query)
            case ["api", "matches", match_id] if match_id.isascii() and match_id.isdigit():
                found = self.world.match(int(match_id))
                return missing if found is None else (200, found)
            case _:
                return missing

    def _player(
        self, account: int, rest: list[str], query: dict[str, list[str]]
    ) -> tuple[int, Any]:
        match rest:
            case []:
                player = self.world.player(account)
                return (404, {"error": "Not Found"}) if player is None else (200, player)
            case ["matches"]:
                fields = (*_ALWAYS, *(query.get("project") or _BY_DEFAULT))
                return 200, [_project(m, fields) for m in self.world.matches(account, query)]
            case ["recentMatches"]:
                # Turbo included, as at the real one, and always the same columns.
                recent = self.world.matches(account, {"significant": ["0"]})[:_RECENT_LIMIT]
                return 200, [_project(m, (*_ALWAYS, *_RECENT)) for m in recent]
            case ["wl"]:
                wins = [_won(match) for match in self.world.matches(account, query)]
                return 200, {"win": sum(wins), "lose": len(wins) - sum(wins)}
            case _:
                return 404, {"error": "Not Found"}

    def _send(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        payload = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(payload)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the demo's terminal shows its own progress."""


class Server(ThreadingHTTPServer):
    """The server in this process; ``port`` 0 takes a free one. Close it when done."""

    daemon_threads = True

    def __init__(self, world: World, port: int = 0) -> None:
        handler = type("Handler", (_Handler,), {"world": world})
        super().__init__(("127.0.0.1", port), handler)
        self.world = world

    @property
    def url(self) -> str:
        """What ``OPENDOTA_BASE`` has to be."""
        return f"http://127.0.0.1:{self.server_address[1]}/api"


def _hero(number: int) -> dict[str, Any]:
    name, localized = HEROES[number]
    return {
        "id": number,
        "name": f"npc_dota_hero_{name}",
        "localized_name": localized,
        "primary_attr": "agi",
        "attack_type": "Melee",
        "roles": ["Carry"],
    }


def _project(match: Mapping[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    return {name: match.get(name) for name in dict.fromkeys(fields)}


def _significant(match: Mapping[str, Any]) -> bool:
    return (
        match["game_mode"] in _BALANCED_MODES
        and match["lobby_type"] in _BALANCED_LOBBIES
        and match["radiant_win"] is not None
        and match["duration"] > 360
    )


def _radiant(match: Mapping[str, Any]) -> bool:
    return match["player_slot"] < 128


def _won(match: Mapping[str, Any]) -> bool:
    return _radiant(match) == match["radiant_win"]


def _number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def main(arguments: list[str] | None = None) -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description="A local OpenDota.")
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--data", type=Path, help="players and matches as JSON")
    options = parser.parse_args(arguments)
    data = json.loads(options.data.read_text(encoding="utf-8")) if options.data else None
    with Server(World(data), options.port) as server:
        sys.stdout.write(server.url + "\n")
        sys.stdout.flush()
        try:
            server.serve_forever(poll_interval=0.1)
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
