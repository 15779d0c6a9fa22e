"""Apple Health exports: what counts, what is counted twice by nobody, and what is refused."""

from __future__ import annotations

import io
import time
import tracemalloc
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightchallenge_dagster.providers.apple_health import read_xml, read_zip
from lightchallenge_dagster.providers.errors import UploadError

from .apple import by_hand, element, export_xml, export_zip, sample, statistics, steps, workout

MORNING, NOON = "2026-01-02 08:00:00 +0200", "2026-01-02 12:00:00 +0200"
EVENING, NEXT_DAY = "2026-01-02 20:00:00 +0200", "2026-01-03 08:00:00 +0200"


def records(*entries: str) -> list[dict[str, Any]]:
    return read_xml(io.BytesIO(export_xml(entries))).records


def skipped(*entries: str) -> dict[str, int]:
    return read_xml(io.BytesIO(export_xml(entries))).skipped


def test_steps_of_a_day_are_summed_per_local_day() -> None:
    found = records(steps(1000, MORNING), steps(500, EVENING), steps(70, NEXT_DAY))
    assert [(record["type"], record["steps_count"]) for record in found] == [
        ("steps", 1500),
        ("steps", 70),
    ]


def test_the_day_is_the_one_of_the_sample_s_own_offset() -> None:
    # 23:30 UTC on the 1st, and 23:30 in New York on the 2nd.
    found = records(steps(10, "2026-01-02 01:30:00 +0200"), steps(20, "2026-01-02 23:30:00 -0500"))
    assert [record["start"][:10] for record in found] == ["2026-01-02"]
    assert found[0]["steps_count"] == 30


def test_a_day_s_record_stands_at_the_moment_nearest_to_noon() -> None:
    assert records(steps(1, MORNING), steps(1, EVENING))[0]["start"] == "2026-01-02T08:00:00+02:00"
    across = steps(1, MORNING, end=EVENING)
    assert records(across)[0]["start"] == "2026-01-02T12:00:00+02:00"


def test_iphone_and_watch_are_not_added_up_the_higher_one_counts() -> None:
    found = records(
        steps(3000, MORNING, source="iPhone"),
        steps(4000, MORNING, source="Watch"),
        steps(2000, EVENING, source="iPhone"),
        steps(500, EVENING, source="Watch"),
        steps(100, NEXT_DAY, source="Watch"),
    )
    assert [record["steps_count"] for record in found] == [5000, 100]


@pytest.mark.parametrize(
    ("kind", "unit", "value", "field", "expected"),
    [
        ("DistanceWalkingRunning", "km", "1.5", "distance_km", 1.5),
        ("DistanceWalkingRunning", "mi", "1", "distance_km", 1.609344),
        ("DistanceCycling", "mi", "10", "distance_km", 16.09344),
        ("DistanceSwimming", "m", "750", "distance_km", 0.75),
        ("DistanceSwimming", "yd", "100", "distance_km", 0.09144),
        ("ActiveEnergyBurned", "kcal", "120.5", "calories", 120.5),
        ("ActiveEnergyBurned", "Cal", "120.5", "calories", 120.5),
        ("ActiveEnergyBurned", "kJ", "418.4", "calories", 100),
        ("AppleExerciseTime", "min", "42", "exercise_minutes", 42),
    ],
)
def test_every_unit_becomes_the_canonical_one(
    kind: str, unit: str, value: str, field: str, expected: float
) -> None:
    (record,) = records(sample(kind, value, NOON, unit=unit))
    assert record[field] == expected


def test_sums_are_exact() -> None:
    (record,) = records(*[sample("DistanceWalkingRunning", "0.1", NOON, unit="km")] * 10)
    assert record["distance_km"] == 1


def test_a_workout_of_the_old_export_states_its_totals_in_attributes() -> None:
    (record,) = records(
        workout(
            "Running",
            "2026-01-02 08:00:00 +0200",
            "2026-01-02 08:31:00 +0200",
            duration="30.5",
            durationUnit="min",
            totalDistance="5.2",
            totalDistanceUnit="km",
            totalEnergyBurned="301",
            totalEnergyBurnedUnit="kcal",
        )
    )
    assert record == {
        "type": "run",
        "start": "2026-01-02T08:00:00+02:00",
        "end": "2026-01-02T08:31:00+02:00",
        "duration_min": 30.5,
        "distance_km": 5.2,
        "calories": 301,
    }


def test_a_workout_of_the_new_export_states_them_in_statistics() -> None:
    inside = (
        element("MetadataEntry", key="HKElevationAscended", value="12345 cm")
        + statistics("DistanceCycling", "mi", sum="10")
        + statistics("ActiveEnergyBurned", "Cal", sum="400")
        + statistics("HeartRate", "count/min", average="131.5", minimum="80", maximum="171")
        + element("WorkoutActivity", statistics("DistanceCycling", "mi", sum="99"), uuid="1")
    )
    (record,) = records(
        workout("Cycling", MORNING, NOON, inside, duration="3600", durationUnit="s")
    )
    assert record["type"] == "cycle"
    assert record["duration_min"] == 60
    assert record["distance_km"] == 16.09344
    assert record["calories"] == 400
    assert (record["avg_hr_bpm"], record["max_hr_bpm"]) == (131.5, 171)
    assert record["elev_gain_m"] == 123.45


def test_a_run_s_kilometres_are_not_counted_again_in_the_day_s_distance() -> None:
    found = records(
        sample("DistanceWalkingRunning", "8", NOON, unit="km"),
        workout("Running", MORNING, NOON, totalDistance="5", totalDistanceUnit="km"),
    )
    assert {record["type"]: record["distance_km"] for record in found} == {"run": 5, "distance": 3}


def test_a_ride_is_not_there_twice() -> None:
    found = records(
        sample("DistanceCycling", "20.1", NOON, unit="km"),
        workout("Cycling", MORNING, NOON, statistics("DistanceCycling", "km", sum="20")),
    )
    assert [(record["type"], record["distance_km"]) for record in found] == [("cycle", 20)]


def test_energy_and_exercise_minutes_of_a_workout_count_once_in_the_day() -> None:
    found = records(
        sample("ActiveEnergyBurned", "700", NOON, unit="kcal"),
        sample("AppleExerciseTime", "50", NOON, unit="min"),
        workout(
            "Running",
            MORNING,
            NOON,
            duration="30",
            totalEnergyBurned="300",
            totalEnergyBurnedUnit="kcal",
        ),
    )
    assert sum(record.get("calories", 0) for record in found) == 700
    # The rules read exercise_minutes, else the duration.
    minutes = [record.get("exercise_minutes", record.get("duration_min", 0)) for record in found]
    assert sum(minutes) == 50


def test_without_energy_samples_the_workout_keeps_its_energy() -> None:
    (record,) = records(
        workout("Yoga", MORNING, NOON, totalEnergyBurned="90", totalEnergyBurnedUnit="kcal")
    )
    assert (record["type"], record["calories"]) == ("yoga", 90)


def test_the_same_run_recorded_by_app_and_watch_counts_once() -> None:
    watch = workout(
        "Running", "2026-01-02 08:00:00 +0200", "2026-01-02 08:30:00 +0200", sourceName="Watch",
        duration="30", totalDistance="5.1", totalDistanceUnit="km",
    )  # fmt: skip
    app = workout(
        "Running", "2026-01-02 08:00:30 +0200", "2026-01-02 08:31:00 +0200", sourceName="App",
        duration="30", totalDistance="5.3", totalDistanceUnit="km",
    )  # fmt: skip
    later = workout("Running", EVENING, "2026-01-02 20:30:00 +0200", duration="30")
    for order in ([watch, app, later], [later, app, watch]):
        found = records(*order)
        assert [record.get("distance_km") for record in found] == [5.3, None]
    assert skipped(watch, app) == {"a second recording of the same workout": 1}


def test_what_was_typed_in_by_hand_does_not_count() -> None:
    typed = steps(99999, NOON, inside=by_hand())
    typed_run = workout("Running", MORNING, NOON, by_hand(), duration="30")
    assert [record["steps_count"] for record in records(typed, typed_run, steps(5, NOON))] == [5]
    assert skipped(typed, typed_run) == {"typed in by hand": 2}


def test_samples_inside_a_correlation_are_not_counted_again() -> None:
    inner = steps(100, NOON)
    (record,) = records(inner, element("Correlation", inner, type="x", sourceName="y"))
    assert record["steps_count"] == 100


@pytest.mark.parametrize(
    "bad",
    [
        steps(-5, NOON),
        sample("StepCount", "NaN", NOON),
        sample("StepCount", "Infinity", NOON),
        sample("StepCount", "1e999", NOON),
        sample("StepCount", "many", NOON),
        sample("StepCount", "1", NOON, unit="furlong"),
        steps(1, "yesterday"),
        steps(1, "2026-01-02 08:00:00"),
        steps(1, "0001-01-01 00:00:00 +1400"),
        steps(1, "9999-12-31 23:59:59 -1200"),
        steps(1, NOON, end=MORNING),
        element("Record", type="HKQuantityTypeIdentifierStepCount", value="1"),
        workout("Curling", MORNING, NOON),
        workout("Running", MORNING, NOON, duration="-1"),
    ],
)
def test_a_bad_entry_is_left_out_and_counted_and_the_rest_counts(bad: str) -> None:
    export = read_xml(io.BytesIO(export_xml([bad, steps(5, NOON)])))
    assert [record["steps_count"] for record in export.records] == [5]
    assert sum(export.skipped.values()) == 1


def test_only_what_lies_within_the_challenge_is_kept() -> None:
    at = int(datetime(2026, 1, 2, 10, tzinfo=UTC).timestamp())  # noon at +0200
    entries = [
        steps(1, "2026-01-02 11:59:58 +0200"),
        steps(2, "2026-01-02 12:00:00 +0200"),
        steps(4, "2026-01-02 11:00:00 +0200", end="2026-01-02 12:30:00 +0200"),
        steps(8, "2026-01-02 13:00:01 +0200"),
        workout("Running", "2026-01-01 08:00:00 +0200", "2026-01-01 09:00:00 +0200"),
    ]
    export = read_xml(io.BytesIO(export_xml(entries)), (at, at + 3600))
    (record,) = export.records
    assert record["steps_count"] == 6
    assert at <= datetime.fromisoformat(record["start"]).timestamp() <= at + 3600
    assert export.skipped == {"outside the challenge's time": 3}


def test_a_chain_time_beyond_the_calendar_does_no_harm() -> None:
    export = read_xml(io.BytesIO(export_xml([steps(1, NOON)])), (0, 2**63 - 1))
    assert len(export.records) == 1


@pytest.mark.parametrize(
    "name",
    [
        "apple_health_export/export.xml",
        "apple_health_export/Export.xml",
        "apple_health_export/exportación.xml",
        "Apple_Health_Export/導出.xml",
        "export.xml",
    ],
)
def test_the_export_is_found_whatever_the_phone_s_language(name: str) -> None:
    others = [
        ("apple_health_export/export_cda.xml", b"<ClinicalDocument/>"),
        ("apple_health_export/workout-routes/route.gpx", b"<gpx/>"),
    ]
    packed = export_zip([steps(5, NOON)], name, others)
    assert read_zip(io.BytesIO(packed)).records[0]["steps_count"] == 5


def refusal(content: bytes) -> str:
    with pytest.raises(UploadError) as caught:
        read_zip(io.BytesIO(content))
    return str(caught.value)


def zipped(*files: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return packed.getvalue()


def test_a_truncated_zip_is_refused_with_a_reason() -> None:
    whole = export_zip([steps(5, NOON)] * 500)
    assert "damaged or incomplete" in refusal(whole[: len(whole) // 2])


def test_a_zip_with_damaged_content_is_refused() -> None:
    whole = bytearray(export_zip([steps(number, NOON) for number in range(500)]))
    whole[200:230] = bytes(30)
    assert "zip" in refusal(bytes(whole)) or "XML" in refusal(bytes(whole))


def test_what_is_no_zip_and_what_is_no_export_is_refused() -> None:
    assert "damaged" in refusal(b"hello")
    assert "no Apple Health export" in refusal(zipped(("a.txt", b"hello")))
    assert "no Apple Health export" in refusal(zipped(("a/export.xml", b"<gpx/>")))
    assert "unusual" in refusal(zipped(("a/export.xml", b"<x/>"), method=zipfile.ZIP_BZIP2))
    assert "begins with <Other>" in refusal(zipped(("export.xml", b"<Other>HealthData</Other>")))
    assert "not well-formed" in refusal(zipped(("export.xml", b"<HealthData><Record></x>")))
    assert "not well-formed" in refusal(zipped(("export.xml", b"<HealthData>")))


def test_a_bomb_is_refused_before_it_unpacks() -> None:
    reason = refusal(zipped(("export.xml", b"<HealthData>" + b" " * (100 * 2**20))))
    assert "times its packed size" in reason


def test_a_zip_that_lists_too_many_files_is_refused_before_the_list_is_read() -> None:
    small = bytearray(zipped(("export.xml", b"<HealthData/>")))
    end = small.rfind(b"PK\x05\x06")
    small[end + 12 : end + 16] = (2**31).to_bytes(4, "little")
    assert "lists more than" in refusal(bytes(small))


BILLION_LAUGHS = """<!DOCTYPE HealthData [
<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">
]>
"""


@pytest.mark.parametrize(
    "doctype",
    [
        BILLION_LAUGHS,
        '<!DOCTYPE HealthData [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE HealthData [<!ENTITY % x SYSTEM "http://127.0.0.1:9/x.dtd"> %x;]>',
        '<!DOCTYPE HealthData SYSTEM "http://127.0.0.1:9/x.dtd">',
    ],
)
def test_entities_are_refused_and_never_resolved(doctype: str) -> None:
    with pytest.raises(UploadError, match="entities"):
        read_xml(io.BytesIO(export_xml([steps(1, NOON)], doctype)))


def test_a_single_huge_element_and_endless_nesting_are_refused() -> None:
    with pytest.raises(UploadError, match="larger than 1 MiB"):
        read_xml(io.BytesIO(export_xml([steps(1, NOON, source="x" * (3 * 2**20))])))
    with pytest.raises(UploadError, match="deeper"):
        read_xml(io.BytesIO(export_xml(["<a>" * 100 + "</a>" * 100])))


def large_export(path: Path, count: int) -> Path:
    """An export.zip of ``count`` samples of two sources over four weeks, written as a stream."""
    head = export_xml([]).removesuffix(b"</HealthData>\n")
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("apple_health_export/export.xml", "w") as xml,
    ):
        xml.write(head)
        for number in range(count):
            day, hour, minute = number % 28 + 1, number // 60 % 24, number % 60
            at = f"2026-01-{day:02d} {hour:02d}:{minute:02d}:00 +0200"
            source = ("iPhone", "Watch")[number // 28 % 2]
            xml.write(
                f'<Record type="HKQuantityTypeIdentifierStepCount" sourceName="{source}" '
                f'unit="count" startDate="{at}" endDate="{at}" value="{number % 50}"/>\n'.encode()
            )
        xml.write(b"</HealthData>\n")
    return path


def peak_of(path: Path) -> int:
    with path.open("rb") as file:
        tracemalloc.start()
        try:
            assert len(read_zip(file).records) == 28
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


def test_memory_does_not_grow_with_the_export(tmp_path: Path) -> None:
    small = peak_of(large_export(tmp_path / "small.zip", 5_000))
    large = peak_of(large_export(tmp_path / "large.zip", 40_000))
    assert large < 2 * 2**20
    assert large < small * 1.5


def test_a_third_of_a_million_samples_are_read_in_seconds(tmp_path: Path) -> None:
    path = large_export(tmp_path / "export.zip", 300_000)
    began = time.monotonic()
    with path.open("rb") as file:
        records = read_zip(file).records
    assert sum(record["steps_count"] for record in records) == sum(
        max(sum(n % 50 for n in range(d + s * 28, 300_000, 56)) for s in (0, 1)) for d in range(28)
    )
    assert time.monotonic() - began < 60


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 2_000), st.booleans())
def test_whatever_is_uploaded_is_read_or_refused(junk: bytes, at: int, as_zip: bool) -> None:
    whole = export_zip([steps(5, NOON)]) if as_zip else export_xml([steps(5, NOON)])
    at %= len(whole)
    for content in (junk, whole[:at] + junk + whole[at + len(junk) :], whole[:at] + junk):
        read = read_zip if as_zip else read_xml
        try:
            read(io.BytesIO(content))
        except UploadError as error:
            assert str(error)
