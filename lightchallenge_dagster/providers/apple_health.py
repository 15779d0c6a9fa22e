"""Apple Health's ``export.zip`` as canonical fitness records, read as a stream.

The export (iPhone: Health, profile picture, "Export All Health Data") is a zip with one big XML
file under a folder; both names are in the phone's language, so the file is known by its root
element ``HealthData``. Gigabytes are normal: nothing but running totals is kept in memory.

What becomes a record:

- A day's quantity: one record per local day (the sample's own UTC offset) and kind, with the total
  of one source. iPhone and Watch both count the same steps, and the export has the samples of both
  (Apple reconciles them on screen only), so adding sources up would count steps twice: the source
  with the highest total of the day counts alone. The record stands at the moment of the day
  nearest to noon that the samples cover, so that it falls on the same calendar day elsewhere.
- A workout: one record. Of two of the same kind that overlap for more than half of the shorter one
  (an app and the Watch recorded the same run) only the longer distance, then duration, counts.

A workout's kilometres, energy and minutes are in the day's samples too. A day's distance is
therefore what its workouts leave over. Energy and exercise minutes stay whole in the day's record;
a workout of such a day states no ``calories`` and 0 ``exercise_minutes``.

Samples and workouts typed in by hand (``HKWasUserEntered``) do not count: they are no measurement.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import IO, Any
from xml.sax import SAXException
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import AttributesImpl

from defusedxml.common import DefusedXmlException
from defusedxml.expatreader import DefusedExpatParser

from lightchallenge_dagster.providers.errors import UploadError

Window = tuple[int, int]
"""First and last epoch second that can count."""

MAX_XML_BYTES = 8 * 2**30
MAX_RATIO = 200
MAX_ENTRIES = 200_000
MAX_DIRECTORY_BYTES = 64 * 2**20

_CHUNK = 64 * 1024
_MAX_TOKEN = 2**20
_MAX_DEPTH = 16
_MAX_TOTALS = 250_000
_MAX_WORKOUTS = 50_000
_MAX_VALUE = Decimal(10**9)
_SMALL = 64 * 2**20
_HEAD = 64 * 1024

_QUANTITY = "HKQuantityTypeIdentifier"
_ACTIVITY = "HKWorkoutActivityType"

_KM = {
    "km": Decimal(1),
    "m": Decimal("0.001"),
    "cm": Decimal("0.00001"),
    "mi": Decimal("1.609344"),
    "yd": Decimal("0.0009144"),
    "ft": Decimal("0.0003048"),
}
# HealthKit's "Cal" is the large calorie of food labels, "cal" a thousandth of it.
_KCAL = {
    "kcal": Decimal(1),
    "Cal": Decimal(1),
    "cal": Decimal("0.001"),
    "kJ": 1 / Decimal("4.184"),
    "J": 1 / Decimal(4184),
}
_MINUTES = {"min": Decimal(1), "s": 1 / Decimal(60), "hr": Decimal(60), "h": Decimal(60)}
_COUNT = {"count": Decimal(1)}
_PER_MINUTE = {"count/min": Decimal(1)}


@dataclass(frozen=True, slots=True, eq=False)
class _Kind:
    """A sample type: the record's type and field, and the factor of each unit it may come in."""

    type: str
    field: str
    units: Mapping[str, Decimal]


_STEPS = _Kind("steps", "steps_count", _COUNT)
_ON_FOOT = _Kind("distance", "distance_km", _KM)
_BY_BIKE = _Kind("cycle", "distance_km", _KM)
_IN_WATER = _Kind("swim", "distance_km", _KM)
_ENERGY = _Kind("calories", "calories", _KCAL)
_EXERCISE = _Kind("exercise_time", "exercise_minutes", _MINUTES)

_SAMPLES = {
    f"{_QUANTITY}StepCount": _STEPS,
    f"{_QUANTITY}DistanceWalkingRunning": _ON_FOOT,
    f"{_QUANTITY}DistanceCycling": _BY_BIKE,
    f"{_QUANTITY}DistanceSwimming": _IN_WATER,
    f"{_QUANTITY}ActiveEnergyBurned": _ENERGY,
    f"{_QUANTITY}AppleExerciseTime": _EXERCISE,
}
_WORKOUTS = {
    "Running": "run",
    "Walking": "walk",
    "Hiking": "hike",
    "Cycling": "cycle",
    "Swimming": "swim",
    "Rowing": "rowing",
    "TraditionalStrengthTraining": "strength",
    "FunctionalStrengthTraining": "strength",
    "Yoga": "yoga",
    "Pilates": "yoga",
    "Flexibility": "yoga",
    "HighIntensityIntervalTraining": "hiit",
    "CrossTraining": "hiit",
    "MixedCardio": "hiit",
}
# Whose kilometres the phone or watch has already counted among a day's samples of that kind.
_COVERED_BY = {
    "run": _ON_FOOT,
    "walk": _ON_FOOT,
    "hike": _ON_FOOT,
    "cycle": _BY_BIKE,
    "swim": _IN_WATER,
}
_DISTANCE_OF = {
    "run": f"{_QUANTITY}DistanceWalkingRunning",
    "walk": f"{_QUANTITY}DistanceWalkingRunning",
    "hike": f"{_QUANTITY}DistanceWalkingRunning",
    "cycle": f"{_QUANTITY}DistanceCycling",
    "swim": f"{_QUANTITY}DistanceSwimming",
    "rowing": f"{_QUANTITY}DistanceRowing",
}


@dataclass(frozen=True, slots=True)
class HealthExport:
    """Canonical records, oldest first, and how many entries were left out for which reason."""

    records: list[dict[str, Any]]
    skipped: dict[str, int]


def read_zip(
    file: IO[bytes], window: Window | None = None, beat: Callable[[], None] | None = None
) -> HealthExport:
    """The records of an ``export.zip``, those that overlap ``window`` where it is given.

    ``beat`` is called every few milliseconds: a large export takes minutes.
    Raises ``UploadError`` for anything that is no such export, and for one that would unpack
    beyond the limits above.
    """
    try:
        _check_directory(file)
        with zipfile.ZipFile(file) as archive:
            info = _find_export(archive)
            with archive.open(info) as xml:
                return read_xml(xml, window, beat)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OverflowError) as error:
        raise UploadError(f"the zip file is damaged or incomplete: {error}") from error
    except (RuntimeError, ValueError, OSError, struct.error) as error:
        raise UploadError(f"the zip file cannot be read: {error}") from error


def read_xml(
    xml: IO[bytes], window: Window | None = None, beat: Callable[[], None] | None = None
) -> HealthExport:
    """The records of the XML inside; see ``read_zip``."""
    totals = _Totals(window)
    handler = _Handler(totals)
    parser = DefusedExpatParser()
    parser.setContentHandler(handler)
    size = silent = 0
    try:
        while chunk := xml.read(_CHUNK):
            if beat is not None:
                beat()
            before = handler.events
            parser.feed(chunk)
            size += len(chunk)
            silent = silent + len(chunk) if handler.events == before else 0
            if silent > _MAX_TOKEN:
                raise UploadError("the XML has a single element larger than 1 MiB")
            if size > MAX_XML_BYTES:
                raise UploadError(f"the XML is larger than {MAX_XML_BYTES // 2**30} GiB")
        if not size:
            raise UploadError("the XML is empty")
        parser.close()
    except DefusedXmlException as error:
        raise UploadError("the XML declares entities; no Apple Health export does") from error
    except SAXException as error:
        raise UploadError(f"the XML is not well-formed: {error}") from error
    except (UnicodeError, LookupError) as error:
        raise UploadError(f"the XML's encoding cannot be read: {error}") from error
    return totals.finish()


def _check_directory(file: IO[bytes]) -> None:
    """Refuse an archive whose table of contents alone would fill the memory.

    ``zipfile`` reads that table whole before it can be asked anything.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - 66_000))
    tail = file.read()
    file.seek(0)
    for signature, entries_at, entries_size, bytes_at, bytes_size in (
        (b"PK\x05\x06", 10, 2, 12, 4),
        (b"PK\x06\x06", 32, 8, 40, 8),
    ):
        at = tail.find(signature)
        while at >= 0:
            entries = _little(tail, at + entries_at, entries_size)
            length = _little(tail, at + bytes_at, bytes_size)
            unknown = 2 ** (8 * bytes_size) - 1
            if entries > MAX_ENTRIES or MAX_DIRECTORY_BYTES < length != unknown:
                raise UploadError(f"the zip file lists more than {MAX_ENTRIES} files")
            at = tail.find(signature, at + 1)


def _little(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")


def _find_export(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    candidates = [
        info
        for info in archive.infolist()
        if info.filename.lower().endswith(".xml")
        and not info.filename.lower().endswith("_cda.xml")
        and info.filename.count("/") <= 1
        and not info.filename.startswith("__MACOSX")
    ]
    candidates.sort(key=lambda i: (not i.filename.lower().endswith("export.xml"), -i.file_size))
    for info in candidates[:20]:
        _check_entry(info)
        with archive.open(info) as xml:
            head = xml.read(_HEAD)
        if b"HealthData" in head or "HealthData".encode("utf-16-le") in head:
            return info
    raise UploadError(
        "the zip file holds no Apple Health export (an export.xml with a HealthData element); "
        "send the zip that the Health app made, as it is"
    )


def _check_entry(info: zipfile.ZipInfo) -> None:
    if info.flag_bits & 1:
        raise UploadError(f"{info.filename[:80]!r} in the zip file is encrypted")
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise UploadError(f"{info.filename[:80]!r} in the zip file is packed in an unusual way")
    ratio = info.file_size / max(1, info.compress_size)
    if info.file_size > MAX_XML_BYTES or (info.file_size > _SMALL and ratio > MAX_RATIO):
        raise UploadError(
            f"{info.filename[:80]!r} would unpack to {info.file_size // 2**20} MiB, "
            f"{ratio:.0f} times its packed size"
        )


@dataclass(slots=True)
class _DayTotal:
    """One source's total of one day, and the covered moment nearest to noon."""

    value: Decimal
    moment: datetime
    from_noon: timedelta


@dataclass(slots=True)
class _Workout:
    type: str
    start: datetime
    end: datetime
    values: dict[str, Decimal] = field(default_factory=dict[str, Decimal])

    def rank(self) -> tuple[Decimal, Decimal, datetime]:
        zero = Decimal(0)
        distance = self.values.get("distance_km", zero)
        return distance, self.values.get("duration_min", zero), self.end


class _InvalidError(Exception):
    """An entry that cannot count; its argument is the reason."""


class _Totals:
    """Running totals over the samples, and the workouts."""

    def __init__(self, window: Window | None) -> None:
        self._window = window
        self._days: dict[tuple[_Kind, date], dict[str, _DayTotal]] = defaultdict(dict)
        self._count = 0
        self._workouts: list[_Workout] = []
        self.skipped: Counter[str] = Counter()

    def sample(self, kind: _Kind, attributes: AttributesImpl) -> None:
        start, end = self._times(attributes)
        value = _measure(attributes.get("value"), attributes.get("unit"), kind.units)
        if self._window is not None:
            first, last = self._window
            if end.timestamp() < first or start.timestamp() > last:
                raise _InvalidError("outside the challenge's time")
            if start.timestamp() < first:
                start = datetime.fromtimestamp(first, start.tzinfo)
            if end.timestamp() > last:
                end = datetime.fromtimestamp(last, end.tzinfo)
        noon = start.replace(hour=12, minute=0, second=0)
        moment = min(max(noon, start), end)
        from_noon = abs(moment - noon)
        sources = self._days[kind, start.date()]
        source = (attributes.get("sourceName") or "")[:200]
        total = sources.get(source)
        if total is None:
            self._count += 1
            if self._count > _MAX_TOTALS:
                raise UploadError("the export has too many days and sources to be one person's")
            sources[source] = _DayTotal(value, moment, from_noon)
            return
        total.value += value
        if from_noon < total.from_noon:
            total.moment, total.from_noon = moment, from_noon

    def workout(
        self,
        attributes: AttributesImpl,
        statistics: Mapping[str, AttributesImpl],
        elevation: str | None,
    ) -> None:
        activity = attributes.get("workoutActivityType", "").removeprefix(_ACTIVITY)
        kind = _WORKOUTS.get(activity)
        if kind is None:
            raise _InvalidError("a workout of a kind that no challenge is about")
        start, end = self._times(attributes)
        if self._window is not None:
            first, last = self._window
            if end.timestamp() < first or start.timestamp() > last:
                raise _InvalidError("outside the challenge's time")
        workout = _Workout(kind, start, end)
        energy = statistics.get(f"{_QUANTITY}ActiveEnergyBurned")
        heart = statistics.get(f"{_QUANTITY}HeartRate")
        distance = statistics.get(_DISTANCE_OF.get(kind, ""))
        wanted: list[tuple[str, str | None, str | None, Mapping[str, Decimal]]] = [
            ("duration_min", *_of(attributes, "duration", "durationUnit", "min"), _MINUTES),
            # The statistics are the newer export, the totals the older one.
            ("distance_km", *_of(distance, "sum"), _KM),
            ("distance_km", *_of(attributes, "totalDistance", "totalDistanceUnit"), _KM),
            ("calories", *_of(energy, "sum"), _KCAL),
            ("calories", *_of(attributes, "totalEnergyBurned", "totalEnergyBurnedUnit"), _KCAL),
            ("avg_hr_bpm", *_of(heart, "average"), _PER_MINUTE),
            ("max_hr_bpm", *_of(heart, "maximum"), _PER_MINUTE),
        ]
        if elevation is not None:
            amount, _, unit = elevation.partition(" ")
            metres = {name: factor * 1000 for name, factor in _KM.items()}
            wanted.append(("elev_gain_m", amount, unit, metres))
        for name, amount, unit, units in wanted:
            if amount is not None and name not in workout.values:
                workout.values[name] = _measure(amount, unit, units)
        if kind in {"run", "walk", "hike", "cycle"} and workout.values.get("distance_km") == 0:
            del workout.values["distance_km"]  # the old export writes 0 for "not measured"
        if len(self._workouts) >= _MAX_WORKOUTS:
            raise UploadError("the export has too many workouts to be one person's")
        self._workouts.append(workout)

    def finish(self) -> HealthExport:
        workouts = self._different_workouts()
        covered: dict[tuple[_Kind, date], Decimal] = defaultdict(Decimal)
        for workout in workouts:
            day = workout.start.date()
            if (kind := _COVERED_BY.get(workout.type)) is not None:
                covered[kind, day] += workout.values.get("distance_km", Decimal(0))
            covered[_ENERGY, day] += workout.values.get("calories", Decimal(0))
            covered[_EXERCISE, day] += workout.values.get("duration_min", Decimal(0))
        records: list[tuple[datetime, str, dict[str, Any]]] = []
        for (kind, day), sources in self._days.items():
            best = max(sources.items(), key=lambda item: (item[1].value, item[0]))[1]
            value = best.value
            if kind is _ON_FOOT:
                value -= covered[kind, day]
            elif kind.units is _KM:
                # Bicycle and pool are measured in workouts; a rounding rest is no further ride.
                value = value if covered[kind, day] == 0 else Decimal(0)
            elif kind is not _STEPS:
                value = max(value, covered[kind, day])
            if value > 0:
                record = {
                    "type": kind.type,
                    "start": best.moment.isoformat(),
                    kind.field: _number(value),
                }
                records.append((best.moment, kind.type, record))
        for workout in workouts:
            day = workout.start.date()
            values = {name: _number(value) for name, value in workout.values.items()}
            if (_ENERGY, day) in self._days:
                values.pop("calories", None)
            if (_EXERCISE, day) in self._days:
                values["exercise_minutes"] = 0
            record = {
                "type": workout.type,
                "start": workout.start.isoformat(),
                "end": workout.end.isoformat(),
                **values,
            }
            records.append((workout.start, workout.type, record))
        records.sort(key=lambda item: (item[0], item[1], str(item[2])))
        return HealthExport([record for _, _, record in records], dict(self.skipped))

    def _different_workouts(self) -> list[_Workout]:
        kept: list[_Workout] = []
        latest: dict[str, list[_Workout]] = defaultdict(list)
        for workout in sorted(self._workouts, key=lambda w: (w.start, w.end, w.rank())):
            # Those of this kind that may still overlap it; few, because the others have ended.
            open_now = [w for w in latest[workout.type] if w.end > workout.start]
            twin = next((w for w in open_now if _same(w, workout)), None)
            if twin is None:
                kept.append(workout)
                open_now.append(workout)
            else:
                self.skipped["a second recording of the same workout"] += 1
                if workout.rank() > twin.rank():
                    twin.start, twin.end, twin.values = workout.start, workout.end, workout.values
            latest[workout.type] = open_now
        return kept

    def _times(self, attributes: AttributesImpl) -> tuple[datetime, datetime]:
        start = _moment(attributes.get("startDate"))
        end = _moment(attributes.get("endDate"))
        if end < start:
            raise _InvalidError("ends before it starts")
        return start, end


class _Handler(ContentHandler):
    """Walks the XML; ``events`` grows with everything the parser gets through."""

    def __init__(self, totals: _Totals) -> None:
        super().__init__()
        self.events = 0
        self._totals = totals
        self._path: list[str] = []
        self._entry: AttributesImpl | None = None
        self._by_hand = False
        self._statistics: dict[str, AttributesImpl] = {}
        self._elevation: str | None = None

    def startElement(self, name: str, attrs: AttributesImpl) -> None:  # noqa: N802
        self.events += 1
        path = self._path
        depth = len(path)
        path.append(name)
        if depth == 1:
            # Samples inside a Correlation are also there on their own, so this level is enough.
            self._entry = attrs if name in {"Record", "Workout"} else None
            self._by_hand = False
            self._statistics = {}
            self._elevation = None
        elif depth == 2 and self._entry is not None:
            if name == "MetadataEntry":
                key = attrs.get("key")
                if key == "HKWasUserEntered" and attrs.get("value") not in {"0", "false"}:
                    self._by_hand = True
                elif key == "HKElevationAscended":
                    self._elevation = attrs.get("value")
            elif name == "WorkoutStatistics" and len(self._statistics) < 50:
                self._statistics[attrs.get("type", "")] = attrs
        elif depth == 0 and name != "HealthData":
            raise UploadError(
                f"the XML is no Apple Health export: it begins with <{name[:40]}> where an export "
                "begins with <HealthData>"
            )
        elif depth > _MAX_DEPTH:
            raise UploadError(f"the XML nests elements deeper than {_MAX_DEPTH}")

    def endElement(self, name: str) -> None:  # noqa: N802
        self.events += 1
        self._path.pop()
        entry = self._entry
        if len(self._path) != 1 or entry is None:
            return
        self._entry = None
        try:
            if name == "Workout":
                if self._by_hand:
                    raise _InvalidError("typed in by hand")
                self._totals.workout(entry, self._statistics, self._elevation)
            else:
                kind = _SAMPLES.get(entry.get("type", ""))
                if kind is None:
                    return
                if self._by_hand:
                    raise _InvalidError("typed in by hand")
                self._totals.sample(kind, entry)
        except _InvalidError as invalid:
            self._totals.skipped[str(invalid)] += 1

    def characters(self, content: str) -> None:
        self.events += 1


def _of(
    attributes: AttributesImpl | None, amount: str, unit: str = "unit", default: str | None = None
) -> tuple[str | None, str | None]:
    if attributes is None:
        return None, None
    return attributes.get(amount), attributes.get(unit) or default


def _moment(text: str | None) -> datetime:
    """Apple's ``2026-01-02 08:00:00 +0200``."""
    if text is None:
        raise _InvalidError("without a start or an end")
    try:
        moment = datetime.fromisoformat(text[:19] + text[20:])
        moment.timestamp()
    except (ValueError, OverflowError):
        raise _InvalidError("with a date that cannot be read") from None
    if moment.tzinfo is None or not 1970 <= moment.year <= 9990:
        raise _InvalidError("with a date that cannot be read")
    return moment


def _measure(text: str | None, unit: str | None, units: Mapping[str, Decimal]) -> Decimal:
    try:
        value = Decimal(text or "")
    except InvalidOperation:
        raise _InvalidError("with a value that is no number") from None
    if not value.is_finite() or value < 0:
        raise _InvalidError("with a negative value, or one that is no number")
    if value > _MAX_VALUE:
        raise _InvalidError("with a value too large to be true")
    factor = units.get(unit or "")
    if factor is None:
        raise _InvalidError("in a unit that is not known")
    return value * factor


def _number(value: Decimal) -> int | float:
    rounded = round(value, 6)
    return int(rounded) if rounded == rounded.to_integral_value() else float(rounded)


def _same(one: _Workout, other: _Workout) -> bool:
    overlap = min(one.end, other.end) - max(one.start, other.start)
    shorter = min(one.end - one.start, other.end - other.start)
    return overlap > timedelta(0) and overlap * 2 > shorter
