"""What the pages of evidence, verdicts, rankings, standings and reputation show of themselves."""

from __future__ import annotations

import base64
import io
import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from dagster import DagsterInstance, materialize
from PIL import Image
from sqlalchemy import Engine

from lightchallenge_dagster.assets import standing_plots
from lightchallenge_dagster.assets.evidence import evidence
from lightchallenge_dagster.assets.judgement import rankings, verdicts
from lightchallenge_dagster.assets.markdown import inert, table
from lightchallenge_dagster.assets.standing import reputation, season_standings
from lightchallenge_dagster.assets.standing_views import (
    rankings_shown,
    reputation_shown,
    standings_shown,
    verdicts_shown,
)
from lightchallenge_dagster.devnet.opendota import Server
from lightchallenge_dagster.devnet.opendota import World as Players
from lightchallenge_dagster.providers.opendota import STEAM64_OFFSET
from lightchallenge_dagster.resources.sources import EvidenceSources
from lightchallenge_dagster.steps import index, plan
from lightchallenge_dagster.storage import standing_views
from lightchallenge_dagster.storage.standing_views import Distribution, VerdictCount
from tests import builders as b
from tests.orchestration.conftest import World

ANN, BOB, CAROL = b.wallet(1), b.wallet(2), b.wallet(3)
DAY = "2026-03-08"
HOSTILE = "![x](http://evil.example/a.png) <img src=x onerror=alert(1)>|\n| [y](javascript:z) `c`"

Materialize = Callable[..., dict[str, Any]]


@pytest.fixture
def materialized(world: World, instance: DagsterInstance) -> Materialize:
    """Materializes an asset through Dagster and returns the metadata by name."""

    def run(asset: Any, partition_key: str | None = None) -> dict[str, Any]:
        if partition_key is not None:
            instance.add_dynamic_partitions(str(asset.partitions_def.name), [partition_key])
        result = materialize(
            [asset], instance=instance, resources=world.resources, partition_key=partition_key
        )
        assert result.success
        event = result.asset_materializations_for_node(asset.op.name)[-1]
        return {name: value.value for name, value in event.metadata.items()}

    return run


@pytest.fixture
def players() -> Iterator[Server]:
    with Server(Players()) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


def follow(world: World) -> None:
    chain = world.resources["chain"]
    index.follow(
        world.database,
        chain.reader(),
        chain.index_policy(),
        chain.contracts().challenge_snapshot,
    )


def picture(markdown: str) -> Image.Image:
    (encoded,) = re.findall(r"data:image/png;base64,([^)]+)\)", markdown)
    return Image.open(io.BytesIO(base64.b64decode(encoded)))


def cells(markdown: str, starting: str) -> list[str]:
    """The cells of the first table row that starts with this cell."""
    (line, *_) = [one for one in markdown.splitlines() if one.startswith(f"| {starting} |")]
    return [cell.strip() for cell in line.strip("|").split(" |")]


# ── Re-running writes nothing ───────────────────────────────────────────────────────────────

WRITTEN = {
    "public.evidence": "id",
    "public.verdicts": "id",
    "pipeline.judgements": "challenge_id, subject",
    "public.rankings": "challenge_id, subject",
    "pipeline.ranking_states": "challenge_id",
    "public.season_standings": "id",
    "pipeline.standings_states": "season_id",
    "public.reputation": "subject",
    "pipeline.challenge_plans": "challenge_id",
}


def versions(database: Engine) -> dict[str, list[tuple[Any, ...]]]:
    """The transaction that last wrote each row."""
    return {
        name: b.rows(database, f"select {key}, xmin::text from {name} order by {key}")  # noqa: S608
        for name, key in WRITTEN.items()
    }


def test_materializing_each_of_the_five_again_writes_no_row_and_says_so(
    world: World, players: Server, materialized: Materialize
) -> None:
    database = world.database
    follow(world)
    # A running challenge with a linked account; one that runs; one whose ranking closes.
    now = datetime.now(UTC).replace(microsecond=0)
    soon = now + timedelta(days=2)
    b.challenge(
        database, 6, starts=now - timedelta(days=1), ends=soon, deadline=soon + timedelta(days=1)
    )
    b.insert(
        database,
        "public.participants",
        challenge_id=6,
        subject=ANN,
        source="onchain_join",
        tx_hash=b.HASH,
    )
    b.insert(
        database,
        "public.linked_accounts",
        subject=ANN,
        provider="opendota",
        external_id=str(STEAM64_OFFSET + 7),
    )
    started = int((now - timedelta(hours=3)).timestamp())
    match = {"match_id": 1, "start_time": started, "player_slot": 0, "radiant_win": True}
    players.world.add(7, match | {"hero_id": 14})
    world.resources["sources"] = EvidenceSources(opendota_base=players.url, inbox=str(world.inbox))
    b.challenge(database, 7, b.competitive())
    b.stake(database, 7, ANN, BOB)
    b.evidence(database, 7, ANN, [b.run(5)])
    b.evidence(database, 7, BOB, [b.run(8)])
    season = b.season(database)
    cup = b.competition(database, season, weight=1.5)
    b.match(database, cup, ANN, BOB, winner=ANN)
    b.mint(database, 1, ANN, "victory")
    plan.refresh_plans(database, plan.PlanPolicy(7200, 600))
    parts = {
        "evidence": (evidence, soon.date().isoformat()),
        "verdicts": (verdicts, DAY),
        "rankings": (rankings, DAY),
        "season_standings": (season_standings, season),
        "reputation": (reputation, None),
    }

    first = {name: materialized(asset, key) for name, (asset, key) in parts.items()}
    before = versions(database)
    again = {name: materialized(asset, key) for name, (asset, key) in parts.items()}

    assert all(before.values()), "every table holds rows"
    assert {name: shown["rows_written"] > 0 for name, shown in first.items()} == dict.fromkeys(
        parts, True
    )
    assert {name: shown["rows_written"] for name, shown in again.items()} == dict.fromkeys(parts, 0)
    assert versions(database) == before, "no row is written, not even with what it held"
    assert b.rows(database, "select state from pipeline.ranking_states") == [("closed",)]


def test_rows_written_counts_what_was_inserted_changed_removed_and_mirrored(
    world: World, materialized: Materialize
) -> None:
    follow(world)
    b.challenge(world.database, 7, b.competitive())
    b.stake(world.database, 7, ANN, BOB)
    b.evidence(world.database, 7, ANN, [b.run(5)])
    b.evidence(world.database, 7, BOB, [b.run(8)])
    materialized(verdicts, DAY)
    shown = materialized(rankings, DAY)
    assert shown["inserted"] == 2
    assert shown["rows_written"] == shown["inserted"] + shown["changed"] + shown["mirrored"]
    assert shown["mirrored"] > 0


# ── What the pages show ─────────────────────────────────────────────────────────────────────


def a_judged_day(database: Engine) -> None:
    b.plan(database, 7)
    b.plan(database, 8, mode="competitive")
    for number in range(1, 9):
        at = b.STARTS + timedelta(days=number % 4)
        passed = number > 3
        b.verdict(
            database,
            7,
            b.wallet(number),
            passed=passed,
            at=at,
            reasons=[] if passed else [f"The total is {number}.5; 10 km are needed."],
            metadata={"provider": "strava" if number % 2 else "garmin"},
        )
        b.judgement(database, 7, b.wallet(number), final_when="now" if passed else "proof_deadline")
    b.verdict(
        database,
        8,
        ANN,
        passed=False,
        reasons=["ranked 2 of 2; the best 1 above 0 win"],
        metadata={"provider": "strava", "evaluation": {"pass": True}},
    )


def test_verdicts_show_their_pass_rate_counts_and_reasons(database: Engine) -> None:
    a_judged_day(database)
    shown = verdicts_shown(database, [DAY], b.STARTS)
    assert shown["partition_verdicts"] == 9
    assert shown["partition_pass_rate_percent"] == 66.7, (
        "six by their evidence, one of them outranked"
    )
    assert (shown["partition_final"], shown["partition_provisional"]) == (5, 4)
    assert picture(shown["pass_rate"].value).size == (760, 290)
    assert "6 of 9 verdicts" in shown["pass_rate"].value
    counts = shown["counts"].value
    assert cells(counts, "all")[1:] == ["9", "5", "3", "1", "5"]
    assert cells(counts, "fitness: strava")[1:] == ["5", "2", "2", "1", "2"]
    assert "| 3 | 75 % | The total is #; # km are needed. |" in shown["failure_reasons"].value
    assert "| 1 | 25 % | ranked # of #; the best # above # win |" in shown["failure_reasons"].value


def test_a_failed_verdict_is_final_at_the_proof_deadline_and_a_ranked_one_when_it_closes(
    database: Engine,
) -> None:
    a_judged_day(database)
    assert verdicts_shown(database, [DAY], b.DEADLINE)["partition_provisional"] == 0
    b.insert(
        database,
        "pipeline.ranking_states",
        challenge_id=8,
        state="closed",
        inputs_hash="inputs",
        ranked=1,
        winners=1,
    )
    assert verdicts_shown(database, [DAY], b.STARTS)["partition_provisional"] == 3


def test_the_unscheduled_partition_counts_what_has_no_plan(database: Engine) -> None:
    a_judged_day(database)
    b.verdict(database, 0, ANN)
    shown = verdicts_shown(database, ["unscheduled"], b.STARTS)
    assert shown["partition_verdicts"] == 1
    assert verdicts_shown(database, ["unscheduled", DAY], b.STARTS)["partition_verdicts"] == 10


def a_ranking(database: Engine, challenge_id: int, scores: list[Any], **columns: Any) -> None:
    b.challenge(database, challenge_id, b.competitive(2), chain=False, **columns)
    b.plan(database, challenge_id, mode="competitive", top_n=2)
    for place, score in enumerate(scores, 1):
        b.insert(
            database,
            "public.rankings",
            challenge_id=challenge_id,
            subject=b.wallet(place),
            rank=place,
            score=score,
            winner=place <= 2,
            tie_break_at=b.STARTS + timedelta(hours=place),
            top_n=2,
            state="closed",
            inputs_hash="inputs",
        )
    b.insert(
        database,
        "pipeline.ranking_states",
        challenge_id=challenge_id,
        state="closed",
        inputs_hash="inputs",
        ranked=len(scores),
        winners=2,
    )


def test_rankings_show_the_first_ten_of_the_largest_and_how_many_are_left_out(
    database: Engine,
) -> None:
    for challenge_id in range(1, 6):
        a_ranking(database, challenge_id, [Decimal("12.500"), 9, *[1] * (challenge_id + 9)])
    shown = rankings_shown(database, [DAY])
    boards = shown["leaderboards"].value
    assert re.findall(r"\*\*Challenge (\d): Challenge \d\*\* · closed · (\d+ wallets)", boards) == [
        ("5", "16 wallets"),
        ("4", "15 wallets"),
        ("3", "14 wallets"),
    ]
    assert "Smaller rankings that are not shown: 2." in boards
    assert boards.count("\n| 10 |") == 3
    assert "\n| 11 |" not in boards
    assert cells(boards, "1") == ["1", ANN, "12.5", "yes", "2026-03-01 01:00:00.000"]
    assert picture(shown["score_distribution"].value).size == (760, 240)


def test_scores_spread_over_equal_steps_and_count_their_winners(database: Engine) -> None:
    a_ranking(database, 1, [20, 19, 10, 0, Decimal("NaN")])
    a_ranking(database, 2, [5, 5, 5])
    a_ranking(database, 3, [Decimal("NaN"), Decimal("NaN")])
    with database.connect() as connection:
        spread = standing_views.score_distributions(connection, [1, 2, 3])
    assert sorted(spread) == [1, 2]
    assert (spread[1].lowest, spread[1].highest) == (0, 20)
    assert [step for step, wallets in enumerate(spread[1].wallets) if wallets] == [0, 10, 19]
    assert (spread[1].wallets[19], spread[1].winners[19]) == (2, 2)
    assert (spread[2].wallets, spread[2].winners) == ([3], [2])


def test_seasons_show_their_first_twenty_places_in_order(
    world: World, materialized: Materialize
) -> None:
    season = b.season(world.database)
    cup = b.competition(world.database, season)
    for number in range(1, 16):
        b.match(
            world.database,
            cup,
            b.wallet(2 * number),
            b.wallet(2 * number + 1),
            number=number,
            winner=b.wallet(2 * number),
        )
    standings = materialized(season_standings, season)["standings"]
    assert standings.startswith("**Spring** · 30 wallets")
    assert cells(standings, "1") == ["1", b.wallet(2), "3", "1", "0", "0", "1"]
    assert cells(standings, "16") == ["16", b.wallet(3), "0", "0", "0", "1", "1"]
    assert "\n| 20 |" in standings
    assert "\n| 21 |" not in standings


def test_a_season_that_could_not_be_computed_says_why_and_more_than_five_are_counted(
    database: Engine,
) -> None:
    seasons = [b.season(database) for _ in range(7)]
    b.insert(
        database,
        "pipeline.standings_states",
        season_id=seasons[0],
        inputs_hash="inputs",
        problem="scoring_config.win is three, not a number",
    )
    standings = standings_shown(database, seasons)["standings"].value
    assert "as they were: scoring_config.win is three, not a number" in standings
    assert "Further seasons that are not shown: 2." in standings


def test_reputation_shows_its_levels_and_the_ten_best(
    world: World, materialized: Materialize
) -> None:
    for number in range(1, 13):
        b.mint(world.database, number, b.wallet(number), "victory" if number > 3 else "completion")
    shown = materialized(reputation)
    assert cells(shown["levels"], "1") == ["1", "Newcomer", "0", "3", "25.0 %", "150"]
    assert cells(shown["levels"], "2") == ["2", "Challenger", "100", "9", "75.0 %", "1350"]
    assert cells(shown["levels"], "5") == ["5", "Legend", "2000", "0", "0.0 %", "0"]
    assert picture(shown["levels"]).size[0] == 760
    assert shown["top_ten"].count(" | 150 |") == 9


def test_empty_partitions_show_no_plot_and_do_not_fail(
    world: World, materialized: Materialize
) -> None:
    follow(world)
    season = b.season(world.database)
    shown = {
        **materialized(evidence, DAY),
        **materialized(verdicts, DAY),
        **materialized(rankings, DAY),
        **materialized(season_standings, season),
        **materialized(reputation),
    }
    assert "data:image" not in str(shown)
    assert shown["rows_written"] == 0
    assert shown["standings"] == "**Spring** · 0 wallets"
    assert reputation_shown(world.database) == rankings_shown(world.database, [DAY]) == {}


def test_no_page_grows_with_the_number_of_rows(database: Engine) -> None:
    b.plan(database, 7)
    b.execute(
        database,
        "insert into public.verdicts (challenge_id, subject, pass, reasons, evidence_hash,"
        " evaluator, score, metadata, created_at)"
        " select 7, '0x' || lpad(to_hex(n), 40, '0'), n % 3 = 0,"
        " array['reason ' || chr(97 + n % 26) || repeat('long ', 2000)], '0x',"
        " 'unknown', n, jsonb_build_object('provider', 'p' || n),"
        " timestamptz '2020-01-01' + n * interval '1 day' from generate_series(1, 3000) n",
    )
    shown = verdicts_shown(database, [DAY], b.STARTS)
    assert shown["partition_verdicts"] == 3000
    assert len(picture(shown["pass_rate"].value).tobytes()) > 0
    assert len(shown["pass_rate"].value) < 30_000
    assert shown["counts"].value.count("\n") <= standing_views.JUDGES + 2
    assert len(shown["failure_reasons"].value) < 5_000


def test_rows_that_make_no_sense_do_not_stop_a_page(database: Engine) -> None:
    a_ranking(database, 8, [Decimal("Infinity"), Decimal("NaN"), 10**40, None, -1])
    b.execute(database, "update public.rankings set tie_break_at = 'infinity' where rank < 3")
    b.execute(database, "update public.rankings set tie_break_at = null where rank = 3")
    moments = ["infinity", "-infinity", "0044-03-15 BC", "20000-01-01", "2026-03-02"]
    for number, moment in enumerate(moments, 1):
        b.verdict(database, 8, b.wallet(number), passed=False, metadata=None, score=None)
        b.execute(
            database,
            "update public.verdicts set created_at = cast(:moment as timestamptz),"
            " reasons = array[null, '', repeat('x', 100000)], evaluator = :evaluator,"
            " metadata = cast(:metadata as jsonb) where subject = :subject",
            moment=moment,
            evaluator=HOSTILE,
            metadata=["null", "[]", "7", '{"provider": {"a": 1}}', '{"evaluation": []}'][
                number - 1
            ],
            subject=b.wallet(number),
        )
    shown = verdicts_shown(database, [DAY], b.STARTS)
    assert shown["partition_verdicts"] == 5
    assert "data:image" in shown["pass_rate"].value, "of the one day that is a day"
    assert cells(rankings_shown(database, [DAY])["leaderboards"].value, "1")[2] == "Infinity"
    b.execute(database, "update public.verdicts set created_at = 'infinity'")
    assert "pass_rate" not in verdicts_shown(database, [DAY], b.STARTS)


# ── Pictures ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "image",
    [
        standing_plots.draw_pass_rate([(b.STARTS.date(), VerdictCount(3, 1))]),
        standing_plots.draw_pass_rate(
            [
                (b.STARTS.date() + timedelta(days=day), VerdictCount(40 + day, day % 40))
                for day in range(90)
            ]
        ),
        standing_plots.draw_scores([Distribution(1, 5, 5, [3], [1])]),
        standing_plots.draw_scores(
            [Distribution(n, -1e30, 1e30, [1] * 20, [0] * 20) for n in range(3)]
        ),
        standing_plots.draw_levels({"Newcomer": 900_000, "Legend": 1}),
    ],
    ids=["a single day", "ninety days", "equal scores", "huge scores", "levels"],
)
def test_a_picture_is_a_few_kilobytes_and_see_through(image: bytes) -> None:
    assert len(image) < 20_000
    drawn = Image.open(io.BytesIO(image)).convert("RGBA")
    corner: Any = drawn.getpixel((2, 2))
    assert corner[3] == 0, "for the light page and the dark one"


# ── Text from strangers ─────────────────────────────────────────────────────────────────────


def links_and_images(markdown: str) -> list[str]:
    """What the page would follow or load: by Markdown, by HTML, or by looking like an address."""
    outside = re.sub(r"\\.", "", markdown)
    return re.findall(
        r"!?\[[^\]]*\]\([^)]*\)|<[a-z!/][^>]*>|https?://|www\.|[\w.+-]+@[\w-]+\.", outside
    )


@pytest.mark.parametrize(
    "text",
    [
        HOSTILE,
        "https://evil.example and HTTP://EVIL.example",
        "www.evil.example",
        "write to me@evil.example",
        "<script>alert(1)</script>",
        "[a][b] ![c][d] [e]: http://f.example",
        "`` ` `` ~~~ *b* **c** __d__",
        "a\\|b \\\\| c",
        "\u202ereversed\u2066 \x00 \x1b[31m",
        "line\rline\u2028line\x0bline\x85line",
        "&lt;img src=x&gt; &#60;b&#62;",
        "x" * 79 + "|" * 5,
        "y" * 78 + "\\" * 5,
    ],
)
def test_text_from_strangers_stays_one_inert_cell(text: str) -> None:
    markdown = table(("a", "b"), [(text, "end")])
    assert markdown.count("\n") == 2
    line = markdown.splitlines()[2]
    assert len(line.splitlines()) == 1
    assert line.count("|") == 3, "no further cell"
    assert line.endswith(" | end |")
    assert links_and_images(line) == []
    assert all(one.isprintable() or one == "\u2060" for one in line)


def test_what_is_harmless_is_shown_as_it_is() -> None:
    assert inert("snake_case 0xab12, 3.5 km (best of 2)!") == (
        "snake_case 0xab12, 3.5 km (best of 2)!"
    )
    assert inert(None) == ""
    assert inert(["a", "b"]) == "a; b"
    assert inert(Decimal("1E+3")) == "1000"
    assert inert(Decimal("1E+100000")) == "1E+100000"
    assert inert(datetime(2026, 3, 1, 8, tzinfo=UTC)) == "2026-03-01 08:00:00 UTC"
    assert inert("z" * 100) == "z" * 79 + "…"


def test_titles_reasons_providers_and_names_of_strangers_are_inert_on_every_page(
    world: World, materialized: Materialize
) -> None:
    database = world.database
    follow(world)
    a_ranking(database, 8, [3, 2], title=HOSTILE)
    b.evidence(database, 8, CAROL, [b.run(3)], provider=HOSTILE)
    b.verdict(database, 8, ANN, passed=False, reasons=[HOSTILE], metadata={"provider": HOSTILE})
    season = b.season(database)
    b.execute(database, "update public.seasons set name = :name", name=HOSTILE)
    b.match(database, b.competition(database, season), ANN, HOSTILE, winner=ANN)
    pages = {
        **{f"verdicts {k}": v for k, v in materialized(verdicts, DAY).items()},
        **{f"rankings {k}": v for k, v in materialized(rankings, DAY).items()},
        **{f"standings {k}": v for k, v in materialized(season_standings, season).items()},
    }
    shown = {name: text for name, text in pages.items() if isinstance(text, str)}
    for name in ("verdicts counts", "verdicts failure_reasons", "rankings leaderboards"):
        assert "evil" in shown[name], "it is shown"
    assert "evil" in shown["standings standings"]
    for name, text in shown.items():
        if name.split()[1] not in {"problem", "season_id", "dagster/table_name", "partition"}:
            without_ours = re.sub(r"!\[[\w %]+\]\(data:image/png;base64,[^)]+\)", "", text)
            assert links_and_images(without_ours) == [], name
