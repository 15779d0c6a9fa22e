"""JSON-RPC envelopes: bytes in, the raw result of each call out; nothing is decoded twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from lightchallenge_dagster.chain.failures import (
    BAD_ANSWER,
    NO_STATE,
    NOT_JSON,
    RATE_LIMITED,
    TRUNCATED,
    WRONG_ID,
    RpcError,
    RpcUnavailable,
)
from lightchallenge_dagster.rules.ranges import is_lost_state, is_rate_limit

_LONGEST_MESSAGE = 500
_NULL = msgspec.Raw(b"null")
_REASONS = ("payload", "message", "details", "reason")


class Answer(msgspec.Struct):
    """One answer as it came; ``result`` and ``error`` are bytes still."""

    id: int | str | None = None
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: msgspec.Raw = _NULL

    def error_said(self) -> tuple[int, str] | None:
        """Code and message of an error object; None when there is none."""
        try:
            error = msgspec.json.decode(self.error, type=_Error)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return error.code, error.message


class _Error(msgspec.Struct):
    code: int = 0
    message: str = ""


_answers = msgspec.json.Decoder(Answer | list[Answer])


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A body that is no JSON-RPC answer: how it is counted, and in words."""

    kind: str
    words: str


def decode(body: bytes) -> Answer | list[Answer] | Unreadable:
    """The envelope or envelopes in ``body``."""
    try:
        return _answers.decode(body)
    except msgspec.ValidationError:
        return Unreadable(BAD_ANSWER, "is not JSON-RPC")
    except msgspec.DecodeError as error:
        if "truncated" in str(error):
            return Unreadable(TRUNCATED, "ends in the middle")
        return Unreadable(NOT_JSON, "is not JSON")
    except (RecursionError, UnicodeDecodeError):
        return Unreadable(NOT_JSON, "is not JSON")


class Reading:
    """How the answers of one endpoint are read: strictly, its name in every complaint."""

    def __init__(self, who: str, scrub: Callable[[str], str]) -> None:
        self._who = who
        self._scrub = scrub

    def one(self, method: str, number: int, answer: Answer | list[Answer]) -> msgspec.Raw:
        """The result of the call ``number``. Raises ``RpcError`` and ``RpcUnavailable``."""
        if isinstance(answer, list):
            raise RpcUnavailable(f"{method}: {self._who} answered one call with a list")
        return self._result(method, number, answer)

    def many(
        self,
        methods: Sequence[str],
        numbers: Sequence[int],
        label: str,
        answers: Answer | list[Answer],
    ) -> list[msgspec.Raw]:
        """The results of a batch in the order of ``numbers``. Raises as ``one``."""
        if not isinstance(answers, list):
            # The whole batch was refused with one error.
            self._refused(label, answers)
            raise RpcUnavailable(f"{label}: {self._who} answered with one result")
        by_number: dict[int, Answer] = {}
        for answer in answers:
            if not isinstance(answer.id, int) or answer.id in by_number:
                raise RpcUnavailable(
                    f"{label}: {self._who} sent an answer without an id of its own", kind=WRONG_ID
                )
            by_number[answer.id] = answer
        if by_number.keys() != set(numbers):
            strange = by_number.keys() - set(numbers)
            raise RpcUnavailable(
                f"{label}: {self._who} answered {len(by_number) - len(strange)} of {len(numbers)}"
                f" calls and {len(strange)} that nobody made",
                kind=WRONG_ID if strange else BAD_ANSWER,
            )
        return [
            self._result(method, number, by_number[number])
            for number, method in zip(numbers, methods, strict=True)
        ]

    def _result(self, method: str, number: int, answer: Answer) -> msgspec.Raw:
        self._refused(method, answer)
        if answer.id != number:
            raise RpcUnavailable(
                f"{method}: the answer of {self._who} belongs to another call", kind=WRONG_ID
            )
        if isinstance(answer.result, msgspec.UnsetType):
            raise RpcUnavailable(f"{method}: {self._who} sent neither result nor error")
        return answer.result

    def _refused(self, method: str, answer: Answer) -> None:
        if bytes(answer.error) == b"null":
            return
        error = self.plain(method, answer.error)
        if not isinstance(error, dict):
            raise RpcUnavailable(f"{method}: {self._words(error)}")
        details = cast("dict[str, Any]", error)
        code = details.get("code")
        code = code if isinstance(code, int) else 0
        data = details.get("data")
        message = self._words(details.get("message") or "no message") + self._more(data)
        if is_rate_limit(code, message):
            raise RpcUnavailable(
                f"{method}: {self._who} refuses for now: {message}", kind=RATE_LIMITED
            )
        if is_lost_state(code, message):
            raise RpcUnavailable(
                f"{method}: {self._who} does not keep that state: {message}", kind=NO_STATE
            )
        raise RpcError(method, code, message, data)

    def plain(self, method: str, raw: msgspec.Raw) -> Any:
        """``raw`` as plain Python values; ``RpcUnavailable`` when it is not JSON after all."""
        try:
            return msgspec.json.decode(raw)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            raise RpcUnavailable(
                f"{method}: {self._who} sent something that is not JSON", kind=NOT_JSON
            ) from None

    def _more(self, data: Any) -> str:
        """What an object beside the message says in words: with some nodes, the very reason."""
        if not isinstance(data, dict):
            return ""
        fields = cast("dict[str, Any]", data)
        said = [fields[key] for key in _REASONS if isinstance(fields.get(key), str)]
        return "".join(f": {self._words(words)}" for words in said)

    def _words(self, text: Any) -> str:
        # Without NUL, which PostgreSQL cannot store: a contract's own words may be in it.
        return self._scrub(str(text))[:_LONGEST_MESSAGE].replace("\0", "\ufffd")
