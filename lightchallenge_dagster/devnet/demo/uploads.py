"""Files as users have them: an iPhone's Health export, and canonical JSON from other apps.

The shapes are the real ones. Their times are the demo's: a challenge lasts a minute here, so an
activity of half an hour that has just ended began before it, and counts because it overlaps.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

PHONE_ZONE = timezone(timedelta(hours=2))

_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE HealthData [
<!-- HealthKit Export Version: 13 -->
<!ELEMENT HealthData (ExportDate,Me,(Record|Correlation|Workout|ActivitySummary|ClinicalRecord)*)>
<!ATTLIST HealthData
  locale CDATA #REQUIRED
>
<!ELEMENT ExportDate EMPTY>
<!ATTLIST ExportDate
  value CDATA #REQUIRED
>
<!ELEMENT Record ((MetadataEntry|HeartRateVariabilityMetadataList)*)>
<!ATTLIST Record
  type          CDATA #REQUIRED
  unit          CDATA #IMPLIED
  value         CDATA #IMPLIED
  sourceName    CDATA #REQUIRED
  sourceVersion CDATA #IMPLIED
  device        CDATA #IMPLIED
  creationDate  CDATA #IMPLIED
  startDate     CDATA #REQUIRED
  endDate       CDATA #REQUIRED
>
<!ELEMENT Workout ((MetadataEntry|WorkoutEvent|WorkoutRoute|WorkoutStatistics)*)>
<!ATTLIST Workout
  workoutActivityType   CDATA #REQUIRED
  duration              CDATA #IMPLIED
  durationUnit          CDATA #IMPLIED
  sourceName            CDATA #REQUIRED
  startDate             CDATA #REQUIRED
  endDate               CDATA #REQUIRED
>
]>
"""


@dataclass(frozen=True, slots=True)
class Walk:
    """Steps that a phone counted between two instants."""

    begun: datetime
    ended: datetime
    steps: int


@dataclass(frozen=True, slots=True)
class Run:
    """A run; ``heart_rate`` is its average in beats a minute."""

    begun: datetime
    ended: datetime
    distance_km: float
    heart_rate: int = 152

    @property
    def minutes(self) -> float:
        return (self.ended - self.begun).total_seconds() / 60


def apple_health_export(
    path: Path, owner: str, *, walks: Sequence[Walk] = (), runs: Sequence[Run] = ()
) -> Path:
    """Write an ``export.zip`` as the Health app makes it; returns ``path``.

    A walk becomes one sample of steps and one of heart rate, as a phone and a watch write them.
    """
    phone = quoteattr(f"{owner}'s iPhone")
    watch = quoteattr(f"{owner}'s Apple Watch")
    lines: list[str] = []
    for walk in walks:
        lines.append(
            f'<Record type="HKQuantityTypeIdentifierStepCount" sourceName={phone} '
            f'sourceVersion="18.5" unit="count" {_dates(walk.begun, walk.ended)} '
            f'value="{walk.steps}"/>'
        )
        lines.append(
            f'<Record type="HKQuantityTypeIdentifierHeartRate" sourceName={watch} '
            f'sourceVersion="11.5" unit="count/min" {_dates(walk.ended, walk.ended)} value="107"/>'
        )
    for run in runs:
        lines.append(
            f'<Workout workoutActivityType="HKWorkoutActivityTypeRunning" '
            f'duration="{run.minutes:.4f}" durationUnit="min" sourceName={watch} '
            f'sourceVersion="11.5" {_dates(run.begun, run.ended)}>\n'
            f'  <WorkoutStatistics type="HKQuantityTypeIdentifierHeartRate" '
            f'{_span(run)} average="{run.heart_rate}" minimum="{run.heart_rate - 30}" '
            f'maximum="{run.heart_rate + 21}" unit="count/min"/>\n'
            f'  <WorkoutStatistics type="HKQuantityTypeIdentifierDistanceWalkingRunning" '
            f'{_span(run)} sum="{run.distance_km}" unit="km"/>\n'
            " </Workout>"
        )
    now = datetime.now(PHONE_ZONE)
    text = (
        _HEAD
        + f'<HealthData locale="en_DE">\n <ExportDate value="{_date(now)}"/>\n'
        + ' <Me HKCharacteristicTypeIdentifierDateOfBirth="1990-04-01"/>\n'
        + "".join(f" {line}\n" for line in lines)
        + "</HealthData>\n"
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("apple_health_export/export.xml", text)
        archive.writestr(
            "apple_health_export/export_cda.xml", '<?xml version="1.0"?>\n<ClinicalDocument/>\n'
        )
    return path


def canonical_runs(path: Path, runs: Sequence[Run], *, prefix: str) -> Path:
    """Write runs as canonical JSON records (RULES.md, "Fitness records"); returns ``path``."""
    records: list[dict[str, Any]] = [
        {
            "activity_id": f"{prefix}-{number}",
            "type": "run",
            "start": run.begun.isoformat(),
            "end": run.ended.isoformat(),
            "distance_km": run.distance_km,
            "duration_min": round(run.minutes, 2),
            "avg_hr_bpm": run.heart_rate,
        }
        for number, run in enumerate(runs, start=1)
    ]
    path.write_text(json.dumps(records, indent=1), encoding="utf-8")
    return path


def canonical_walks(path: Path, walks: Sequence[Walk], *, prefix: str) -> Path:
    """Write walks as canonical JSON records; returns ``path``."""
    records: list[dict[str, Any]] = [
        {
            "activity_id": f"{prefix}-{number}",
            "type": "walk",
            "start_ts": int(walk.begun.timestamp()),
            "end_ts": int(walk.ended.timestamp()),
            "steps": walk.steps,
        }
        for number, walk in enumerate(walks, start=1)
    ]
    path.write_text(json.dumps(records, indent=1), encoding="utf-8")
    return path


def _date(moment: datetime) -> str:
    return moment.astimezone(PHONE_ZONE).strftime("%Y-%m-%d %H:%M:%S %z")


def _dates(begun: datetime, ended: datetime) -> str:
    return f'creationDate="{_date(ended)}" startDate="{_date(begun)}" endDate="{_date(ended)}"'


def _span(run: Run) -> str:
    return f'startDate="{_date(run.begun)}" endDate="{_date(run.ended)}"'
