"""Builds Apple Health exports as the Health app writes them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from xml.sax.saxutils import quoteattr

# The declarations real exports begin with, shortened to the elements used here.
DOCTYPE = """<!DOCTYPE HealthData [
<!-- HealthKit Export Version: 14 -->
<!ELEMENT HealthData (ExportDate,Me,(Record|Correlation|Workout|ActivitySummary)*)>
<!ATTLIST HealthData
  locale CDATA #REQUIRED
>
<!ELEMENT Record ((MetadataEntry|HeartRateVariabilityMetadataList)*)>
<!ATTLIST Record
  type          CDATA #REQUIRED
  unit          CDATA #IMPLIED
  value         CDATA #IMPLIED
  sourceName    CDATA #REQUIRED
  startDate     CDATA #REQUIRED
  endDate       CDATA #REQUIRED
>
<!-- Note: Any Records that appear as children of a correlation also appear at top level. -->
<!ELEMENT MetadataEntry EMPTY>
<!ATTLIST MetadataEntry
  key   CDATA #REQUIRED
  value CDATA #REQUIRED
>
]>
"""


def element(name: str, inside: str = "", **attributes: str) -> str:
    """One XML element."""
    written = "".join(f" {key}={quoteattr(value)}" for key, value in attributes.items())
    return f"<{name}{written}>{inside}</{name}>\n" if inside else f"<{name}{written}/>\n"


def sample(
    kind: str,
    value: str,
    start: str,
    *,
    end: str | None = None,
    unit: str = "count",
    source: str = "iPhone",
    inside: str = "",
) -> str:
    """A ``<Record>``; ``kind`` without Apple's prefix."""
    return element(
        "Record",
        inside,
        type=f"HKQuantityTypeIdentifier{kind}",
        sourceName=source,
        sourceVersion="17.2",
        unit=unit,
        creationDate=start,
        startDate=start,
        endDate=end or start,
        value=value,
    )


def steps(value: int, start: str, **more: str) -> str:
    """A step count."""
    return sample("StepCount", str(value), start, **more)


def workout(activity: str, start: str, end: str, inside: str = "", **attributes: str) -> str:
    """A ``<Workout>``; ``activity`` without Apple's prefix."""
    return element(
        "Workout",
        inside,
        workoutActivityType=f"HKWorkoutActivityType{activity}",
        **{"sourceName": "Apple Watch", **attributes},
        startDate=start,
        endDate=end,
    )


def statistics(kind: str, unit: str, **values: str) -> str:
    """A ``<WorkoutStatistics>`` as newer exports have inside a workout."""
    return element("WorkoutStatistics", type=f"HKQuantityTypeIdentifier{kind}", unit=unit, **values)


def by_hand() -> str:
    """What marks an entry as typed in."""
    return element("MetadataEntry", key="HKWasUserEntered", value="1")


def export_xml(entries: Iterable[str], doctype: str = DOCTYPE) -> bytes:
    """An ``export.xml``."""
    head = '<?xml version="1.0" encoding="UTF-8"?>\n' + doctype + '<HealthData locale="en_US">\n'
    head += element("ExportDate", value="2026-01-10 09:00:00 +0200") + element("Me")
    return (head + "".join(entries) + "</HealthData>\n").encode()


def export_zip(
    entries: Iterable[str],
    name: str = "apple_health_export/export.xml",
    others: Iterable[tuple[str, bytes]] = (),
) -> bytes:
    """An ``export.zip``, with further files in it."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for other, content in others:
            archive.writestr(other, content)
        archive.writestr(name, export_xml(entries))
    return packed.getvalue()
