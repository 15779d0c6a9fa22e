"""Text from the database inside Markdown: shown as it is, never followed, loaded or laid out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

LONGEST: Final = 80
"""Characters of a value that are shown."""

_MARKUP = re.compile(r"[\\`*_\[\]<>&|~]")
_INSIDE_A_WORD = re.compile(r"(?<=[0-9A-Za-z])\\_(?=[0-9A-Za-z])")

_NUMBER = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?( %)?")

# The page turns bare addresses into links after escapes are read, so an escape does not stop it:
# an invisible joiner that no address holds does.
_JOINER = "\u2060"
_ADDRESS = re.compile(r"(?i)(?<=https:)(?=//)|(?<=http:)(?=//)|(?<=www)(?=\.)|(?=@)")


def inert(value: Any, longest: int = LONGEST) -> str:
    """A value as text of one line that Markdown and HTML make nothing of.

    Lists are joined by semicolons, times are in UTC, decimals never in scientific notation; what
    is longer than ``longest`` is cut; control and direction characters become "�".
    """
    text = " ".join(_plain(value, longest + 1).split())
    if len(text) > longest:
        text = text[: longest - 1] + "…"
    text = "".join(one if one.isprintable() else "\ufffd" for one in text)
    text = _MARKUP.sub(_escaped, text)
    return _ADDRESS.sub(_JOINER, _INSIDE_A_WORD.sub("_", text))


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], longest: int = LONGEST) -> str:
    """Rows as a Markdown table, every cell inert. Columns of numbers only are set to the right."""
    listed = [list(row) for row in rows]
    right = [
        bool(listed) and all(_is_number(row[place]) for row in listed)
        for place in range(len(columns))
    ]
    lines = [
        f"| {' | '.join(inert(column) for column in columns)} |",
        f"|{''.join(' ---: |' if numbers else ' --- |' for numbers in right)}",
    ]
    lines += [f"| {' | '.join(inert(value, longest) for value in row)} |" for row in listed]
    return "\n".join(lines)


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return _NUMBER.fullmatch(value) is not None
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _plain(value: Any, enough: int) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC).replace(tzinfo=None).isoformat(' ')} UTC"
    if isinstance(value, Decimal):
        # Written out, a score of 1e100000 would be as long as it says.
        return f"{value:f}" if abs(value.adjusted()) < enough else str(value)
    if isinstance(value, list | tuple):
        items: list[Any] = list(value)  # pyright: ignore[reportUnknownArgumentType]
        return "; ".join(_plain(item, enough) for item in items)
    # Nobody's megabytes are searched for what a cell will not show.
    return str(value)[: enough * 4]


def _escaped(found: re.Match[str]) -> str:
    one = found.group()
    # Inside a table a backslash before a pipe is read twice; an entity is read once.
    return f"&#{ord(one)};" if one in "|<>&" else f"\\{one}"
