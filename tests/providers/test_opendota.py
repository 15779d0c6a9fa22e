"""OpenDota over real HTTP: what becomes a record, and what a bad answer becomes."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightchallenge_dagster.devnet.opendota import Server, World
from lightchallenge_dagster.errors import PermanentError
from lightchallenge_dagster.providers.errors import (
    ProviderLimitedError,
    ProviderMisreadError,
    ProviderRefusedError,
    ProviderUnavailableError,
)
from lightchallenge_dagster.providers.http import JsonApi
from lightchallenge_dagster.providers.opendota import STEAM64_OFFSET, OpenDota, steam32
from lightchallenge_dagster.rules.evidence import evidence_hash

NOW = datetime.now(UTC)
STARTED = int(NOW.timestamp()) - 3600


def a_match(match_id: int, **changes: Any) -> dict[str, Any]:
    return {
        "match_id": match_id,
        "start_time": STARTED + match_id,
        "player_slot": 0,
        "radiant_win": True,
        "hero_id": 14,
        "kills": 7,
        **changes,
    }


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(World()) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


def impatient(url: str) -> OpenDota:
    """A client whose retries wait milliseconds."""
    return OpenDota(url, http=JsonApi(url, retries=2, backoff_s=0.001, max_wait_s=1))


def test_a_match_becomes_a_canonical_gaming_record(server: Server) -> None:
    server.world.add(42, a_match(1, deaths=2, assists=9, hero_damage=30111, lobby_type=7))
    (record,) = OpenDota(server.url).fetch("42", 90, NOW).records
    assert record == {
        "match_id": 1,
        "start_time": STARTED + 1,
        "duration_s": 2400,
        "result_for_player": "win",
        "lobby_type": 7,
        "game_mode": 22,
        "hero_id": 14,
        "hero_name": "Pudge",
        "kills": 7,
        "deaths": 2,
        "assists": 9,
        "hero_damage": 30111,
    }


@pytest.mark.parametrize(
    ("player_slot", "radiant_win", "result"),
    [(0, True, "win"), (127, False, "loss"), (128, True, "loss"), (132, False, "win")],
)
def test_the_result_is_the_side_s_result(
    server: Server, player_slot: int, radiant_win: bool, result: str
) -> None:
    server.world.add(42, a_match(1, player_slot=player_slot, radiant_win=radiant_win))
    (record,) = OpenDota(server.url).fetch("42", 90, NOW).records
    assert record["result_for_player"] == result


def test_the_order_and_so_the_hash_do_not_depend_on_the_order_of_the_answer(server: Server) -> None:
    server.world.add(1, [a_match(3), a_match(1), a_match(2)])
    server.world.add(2, [a_match(2), a_match(3), a_match(1)])
    client = OpenDota(server.url)
    first, second = client.fetch("1", 90, NOW), client.fetch("2", 90, NOW)
    assert [record["match_id"] for record in first.records] == [1, 2, 3]
    assert evidence_hash(list(first.records)) == evidence_hash(list(second.records))


def test_matches_before_the_lookback_are_not_fetched(server: Server) -> None:
    server.world.add(42, [a_match(1), a_match(2, start_time=STARTED - 10 * 86_400)])
    assert len(OpenDota(server.url).fetch("42", 5, NOW).records) == 1
    assert len(OpenDota(server.url).fetch("42", 20, NOW).records) == 2


def test_an_unknown_or_private_player_has_no_records(server: Server) -> None:
    server.world.add(42, a_match(1))
    server.world.set_player(42, {"private": True})
    client = OpenDota(server.url)
    assert client.fetch("42", 90, NOW).records == ()
    assert client.fetch("43", 90, NOW).records == ()


def test_hero_names_are_asked_for_once(server: Server) -> None:
    server.world.add(42, a_match(1))
    client = OpenDota(server.url)
    client.fetch("42", 90, NOW)
    client.fetch("42", 90, NOW)
    assert server.world.requests.count("/api/heroes") == 1


def test_the_base_address_may_leave_out_api(server: Server) -> None:
    server.world.add(42, a_match(1))
    assert len(OpenDota(server.url.removesuffix("/api") + "/").fetch("42", 90, NOW).records) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_passing_refusal_is_asked_again(server: Server, status: int) -> None:
    server.world.add(42, a_match(1))
    server.world.trouble({"status": status, "times": 2, "path": "matches"})
    assert len(impatient(server.url).fetch("42", 90, NOW).records) == 1
    assert server.world.requests.count("/api/players/42/matches") == 3


def test_retry_after_is_honoured(server: Server) -> None:
    server.world.trouble({"status": 429, "times": 1, "retry_after": 1})
    began = time.monotonic()
    impatient(server.url).heroes()
    assert time.monotonic() - began >= 1


def test_a_lasting_429_says_that_asking_on_is_useless(server: Server) -> None:
    server.world.limit(0)
    with pytest.raises(ProviderLimitedError, match="429"):
        impatient(server.url).fetch("42", 90, NOW)


def test_a_lasting_outage_is_transient_and_named(server: Server) -> None:
    server.world.trouble({"status": 503, "times": 99})
    with pytest.raises(ProviderUnavailableError, match=r"127\.0\.0\.1:\d+/api/heroes.*503"):
        impatient(server.url).heroes()


def test_nobody_listening_is_transient_and_no_secret_is_in_the_message() -> None:
    client = OpenDota(
        "http://someone:hunter2@127.0.0.1:9/api",
        http=JsonApi("http://someone:hunter2@127.0.0.1:9/api", retries=1, backoff_s=0.001),
    )
    with pytest.raises(ProviderUnavailableError) as caught:
        client.heroes()
    assert "hunter2" not in str(caught.value)
    assert "127.0.0.1:9" in str(caught.value)


@pytest.mark.parametrize(
    "base",
    ["opendota", "http://h:s3cret", "http://[::1", f"http://{'a' * 100}.example", "ftp://h", ""],
)
def test_a_base_that_is_no_address_is_refused_when_the_client_is_made(base: str) -> None:
    with pytest.raises(PermanentError, match="http") as caught:
        OpenDota(base)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_an_answer_that_trickles_for_ever_is_given_up() -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            with contextlib.suppress(OSError):
                while True:
                    self.wfile.write(b" ")
                    time.sleep(0.05)

        def log_message(self, format: str, *args: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        http = JsonApi(f"http://127.0.0.1:{server.server_address[1]}", retries=0, answer_s=0.5)
        with pytest.raises(ProviderUnavailableError, match="still answering"):
            http.get("/players/1/matches")
        server.shutdown()


Answering = Callable[[bytes, int], str]


@pytest.fixture
def answering() -> Iterator[Answering]:
    """A server that answers every request with the same bytes."""
    servers: list[ThreadingHTTPServer] = []

    def start(body: bytes, status: int = 200) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None: ...

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_address[1]}/api"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("body", [b"<html>", b'{"error": "x"}', b"\xff", b"[" * 100_000])
def test_an_answer_of_another_shape_is_an_error_and_no_evidence(
    answering: Answering, body: bytes
) -> None:
    with pytest.raises(ProviderMisreadError):
        impatient(answering(body, 200)).fetch("42", 90, NOW)


def test_a_question_the_provider_calls_wrong_is_not_asked_again(answering: Answering) -> None:
    with pytest.raises(ProviderRefusedError, match="400"):
        impatient(answering(b'{"error": "invalid account id"}', 400)).fetch("42", 90, NOW)


def test_incomplete_and_undecided_matches_are_left_out_and_counted(answering: Answering) -> None:
    matches = [
        a_match(1),
        a_match(2, radiant_win=None),
        {"match_id": 3},
        a_match(4, start_time=None),
        a_match(5, player_slot=True),
        "match",
        None,
    ]
    url = answering(json.dumps(matches).encode(), 200)
    client = impatient(url)
    client._heroes = {14: "Pudge"}  # this server has no heroes
    fetched = client.fetch("42", 90, NOW)
    assert [record["match_id"] for record in fetched.records] == [1]
    assert sum(fetched.skipped.values()) == 6


def test_steam64_and_steam32_name_the_same_account() -> None:
    assert steam32("87278757") == steam32(str(87278757 + STEAM64_OFFSET)) == 87278757
    assert OpenDota("http://localhost").account(" 76561198047544485 ") == "87278757"


@pytest.mark.parametrize("bad", ["", "0", "-5", "4294967295", "abc", "1.5", "²", "9" * 30, "٣"])
def test_what_is_no_steam_id_is_refused(bad: str) -> None:
    with pytest.raises(ProviderRefusedError):
        steam32(bad)


@given(st.integers(1, 2**32 - 2))
def test_every_account_id_survives_the_long_form(account: int) -> None:
    assert steam32(str(account + STEAM64_OFFSET)) == account
