"""The local OpenDota behaves as the real one where the pipeline and the demo rely on it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from lightchallenge_dagster.devnet.opendota import Server, World

NOW = int(time.time())
RADIANT_WIN = {
    "match_id": 1, "start_time": NOW - 3600, "player_slot": 3, "radiant_win": True, "hero_id": 14,
}  # fmt: skip
DIRE_LOSS = {**RADIANT_WIN, "match_id": 2, "start_time": NOW - 1800, "player_slot": 130}
TURBO = {**RADIANT_WIN, "match_id": 3, "start_time": NOW - 900, "game_mode": 23}
OLD = {**RADIANT_WIN, "match_id": 4, "start_time": NOW - 100 * 86_400}


@pytest.fixture
def url() -> Iterator[str]:
    world = World({"players": {"4242": {"matches": [RADIANT_WIN, DIRE_LOSS, TURBO, OLD]}}})
    with Server(world) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server.url
        server.shutdown()


def get(url: str, **params: Any) -> Any:
    return requests.get(url, params=params, timeout=5).json()


def test_matches_come_newest_first_without_turbo_and_with_the_projected_fields_only(
    url: str,
) -> None:
    matches = get(f"{url}/players/4242/matches", date=90, project=["kills", "start_time"])
    assert [match["match_id"] for match in matches] == [2, 1]
    assert set(matches[0]) == {"match_id", "player_slot", "radiant_win", "kills", "start_time"}


def test_without_projection_the_documented_fields_come_and_hero_damage_does_not(url: str) -> None:
    match = get(f"{url}/players/4242/matches", significant=0, limit=1)[0]
    assert match["match_id"] == 3
    assert {"hero_id", "duration", "lobby_type", "assists", "leaver_status"} <= set(match)
    assert "hero_damage" not in match


def test_recent_matches_show_turbo_and_hero_damage(url: str) -> None:
    recent = get(f"{url}/players/4242/recentMatches")
    assert [match["match_id"] for match in recent] == [3, 2, 1, 4]
    assert "hero_damage" in recent[0]


def test_win_and_loss_follow_the_side_the_player_was_on(url: str) -> None:
    assert get(f"{url}/players/4242/wl", date=90) == {"win": 1, "lose": 1}


def test_unknown_players_have_no_matches_and_no_profile(url: str) -> None:
    assert get(f"{url}/players/99/matches") == []
    assert requests.get(f"{url}/players/99", timeout=5).status_code == 404
    assert requests.get(f"{url}/players/nobody/matches", timeout=5).status_code == 400


def test_a_private_history_looks_empty(url: str) -> None:
    admin = url.removesuffix("/api") + "/admin"
    requests.post(f"{admin}/players/4242", json={"private": True}, timeout=5)
    assert get(f"{url}/players/4242/matches") == []
    assert get(f"{url}/players/4242")["profile"]["fh_unavailable"] is True


def test_a_match_posted_while_it_runs_is_in_the_history(url: str) -> None:
    admin = url.removesuffix("/api") + "/admin"
    new = {**RADIANT_WIN, "match_id": 9, "start_time": NOW}
    assert requests.post(f"{admin}/players/7/matches", json=new, timeout=5).json() == {"added": 1}
    assert [match["match_id"] for match in get(f"{url}/players/7/matches")] == [9]
    assert get(f"{url}/matches/9")["players"][0]["account_id"] == 7
    refused = requests.post(f"{admin}/players/7/matches", json={"match_id": 10}, timeout=5)
    assert refused.status_code == 400


def test_over_the_minute_limit_it_answers_429_and_says_how_far_over(url: str) -> None:
    admin = url.removesuffix("/api") + "/admin"
    requests.post(f"{admin}/limit", json={"per_minute": 0}, timeout=5)
    answer = requests.get(f"{url}/heroes", timeout=5)
    assert answer.status_code == 429
    assert int(answer.headers["X-Rate-Limit-Remaining-Minute"]) < 0
    requests.post(f"{admin}/limit", json={"per_minute": None}, timeout=5)
    assert get(f"{url}/heroes")[0]["localized_name"] == "Anti-Mage"


def test_as_a_process_it_prints_its_address_and_serves_the_data_file(tmp_path: Path) -> None:
    data = tmp_path / "players.json"
    data.write_text(json.dumps({"players": {"5": {"matches": [RADIANT_WIN]}}}))
    command = [sys.executable, "-m", "lightchallenge_dagster.devnet.opendota", "--data", str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        try:
            assert [match["match_id"] for match in get(f"{url}/players/5/matches")] == [1]
        finally:
            process.terminate()


def test_it_imports_nothing_of_the_pipeline() -> None:
    code = (
        "import sys, lightchallenge_dagster.devnet.opendota\n"
        "print([m for m in sys.modules if m.startswith('lightchallenge_dagster.')])"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    assert loaded.strip() == (
        "['lightchallenge_dagster.devnet', 'lightchallenge_dagster.devnet.opendota']"
    )
