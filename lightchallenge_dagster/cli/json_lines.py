"""JSON lines from outside: each line stands alone, and a bad one is its own error."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, BinaryIO, TypeVar, cast

import click
import msgspec

from lightchallenge_dagster.errors import PermanentError
from lightchallenge_dagster.providers import bounded_json
from lightchallenge_dagster.rules.evaluation.parsing import quoted

Answer = TypeVar("Answer")

#: A line is held in memory whole, so there is a longest one.
LONGEST_LINE = 256 * 2**20

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_INTEGER_DIGITS = 400  # Python refuses to read an integer of more than 4,300
_ENCODER = msgspec.json.Encoder(decimal_format="number")


class BadLine(PermanentError):
    """What is wrong with one line; the message names the field and how to mend it."""


class JsonLines:
    """The objects of a stream of JSON lines, read one by one.

    Blank lines and a byte order mark are passed over. A bad line is reported on standard error with
    its number, from 1, and the rest goes on.
    """

    def __init__(self, stream: BinaryIO, *, exact: bool = False) -> None:
        """``exact``: numbers with a fraction are read as ``Decimal``, and so are NaN and Infinity.

        Else they are read as floats, as the database gives them to the evaluators.
        """
        self._stream = stream
        self._hooks: dict[str, Any] = {"parse_int": _integer}
        if exact:
            self._hooks |= {"parse_float": _decimal, "parse_constant": Decimal}
        self.bad = 0

    @property
    def exit_status(self) -> int:
        """1 once a line was bad, else 0."""
        return 1 if self.bad else 0

    def each(self, read: Callable[[int, dict[str, Any]], Answer]) -> Iterator[Answer]:
        """What ``read`` makes of each line's number and object; it may raise ``BadLine``."""
        for number, line in self._lines():
            try:
                answer = read(number, self._object(line))
            except BadLine as error:
                self.bad += 1
                click.echo(f"line {number}: {error}", err=True)
            else:
                yield answer

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        number = 0
        while line := self._stream.readline(LONGEST_LINE + 1):
            number += 1
            if number == 1:
                line = line.removeprefix(_BYTE_ORDER_MARK)
            if len(line) > LONGEST_LINE:
                self._skip_rest_of_line(line)
            if line.strip():
                yield number, line

    def _skip_rest_of_line(self, part: bytes) -> None:
        while part and not part.endswith(b"\n"):
            part = self._stream.readline(2**20)

    def _object(self, line: bytes) -> dict[str, Any]:
        if len(line) > LONGEST_LINE:
            raise BadLine(f"is longer than {LONGEST_LINE // 2**20} MiB; split its records")
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            raise BadLine("is not UTF-8 text; save the file as UTF-8") from None
        try:
            value = bounded_json.loads(line, text.strip(), **self._hooks)
        except json.JSONDecodeError as error:
            where = f"{error.msg} at character {error.pos + 1}"
            raise BadLine(f"is not JSON ({where}); write one object a line") from None
        except ValueError as error:
            raise BadLine(f"cannot be read: {error}") from None
        if not isinstance(value, dict):
            raise BadLine(f"must be an object in {{ }}, not {quoted(value)}")
        return cast("dict[str, Any]", value)


def encoded(value: dict[str, Any]) -> bytes:
    """One line of JSON without its end; a ``Decimal`` is written as the number it is.

    Raises ``BadLine`` for a text that has no UTF-8.
    """
    try:
        return _ENCODER.encode(value)
    except UnicodeEncodeError:
        raise BadLine("holds half a character (a lone \\ud800 to \\udfff); leave it out") from None


def raw(value: object) -> msgspec.Raw:
    """A part of a line in ASCII, whatever its texts hold."""
    return msgspec.Raw(json.dumps(value, separators=(",", ":")).encode("ascii"))


def _integer(digits: str) -> int | Decimal:
    return int(digits) if len(digits) <= _INTEGER_DIGITS else Decimal(digits)


def _decimal(digits: str) -> Decimal:
    try:
        return Decimal(digits)
    except InvalidOperation:
        raise ValueError(f"the number {digits[:40]} is out of all bounds") from None
