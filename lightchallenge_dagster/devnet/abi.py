"""The compiled contracts' interfaces: encoding calls, decoding answers, events and refusals.

Values are plain: ``int``, ``bool``, ``str``, lowercase 0x-hex for addresses and bytes, tuples for
structs and arrays.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_abi.exceptions import DecodingError
from eth_utils.crypto import keccak

from lightchallenge_dagster.devnet.errors import DevnetError

ARTIFACTS = Path(__file__).parent / "artifacts"


@dataclass(frozen=True, slots=True)
class Function:
    """A function by its canonical signature, with its 4-byte ``selector`` (0x-hex)."""

    signature: str
    selector: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EventType:
    """An event by its canonical signature; ``topic`` is its topic 0.

    ``inputs`` are (name, type, indexed), in order.
    """

    name: str
    signature: str
    topic: str
    inputs: tuple[tuple[str, str, bool], ...]


@dataclass(frozen=True, slots=True)
class Event:
    """A decoded log: where it came from, its name, and its arguments by name."""

    address: str
    name: str
    args: Mapping[str, Any]
    block_number: int
    log_index: int


class Abi:
    """One contract's interface, from its artifact."""

    def __init__(self, name: str) -> None:
        path = ARTIFACTS / f"{name}.json"
        if not path.exists():
            raise DevnetError(f"no artifact {path.name}: compile the devnet's contracts first")
        artifact = json.loads(path.read_text(encoding="utf-8"))
        self.name = name
        self.bytecode: str = artifact["bytecode"]
        self.constructor: tuple[str, ...] = ()
        self.functions: dict[str, Function] = {}
        self.events: dict[str, EventType] = {}
        self.errors: dict[str, str] = {}
        for entry in artifact["abi"]:
            inputs = tuple(_canonical(part) for part in entry.get("inputs", ()))
            signature = f"{entry.get('name', '')}({','.join(inputs)})"
            digest = "0x" + keccak(text=signature).hex()
            if entry["type"] == "constructor":
                self.constructor = inputs
            elif entry["type"] == "function":
                outputs = tuple(_canonical(part) for part in entry["outputs"])
                function = Function(signature, digest[:10], inputs, outputs)
                self.functions[signature] = function
                self.functions.setdefault(entry["name"], function)
            elif entry["type"] == "event":
                named = tuple(
                    (part["name"], _canonical(part), part["indexed"]) for part in entry["inputs"]
                )
                self.events[digest] = EventType(entry["name"], signature, digest, named)
            elif entry["type"] == "error":
                self.errors[digest[:10]] = signature

    def creation_code(self, *args: object) -> str:
        """The data of the transaction that creates the contract."""
        return self.bytecode + abi_encode(self.constructor, _to_abi(args)).hex()

    def encode(self, function: str, *args: object) -> str:
        """Call data; ``function`` is a name, or a full signature where names repeat."""
        found = self._function(function)
        if len(args) != len(found.inputs):
            raise DevnetError(f"{self.name}.{found.signature} does not take {len(args)} arguments")
        return found.selector + abi_encode(found.inputs, _to_abi(args)).hex()

    def decode(self, function: str, data: str) -> Any:
        """What the function returned: the value, or a tuple when there are several."""
        found = self._function(function)
        try:
            values = abi_decode(found.outputs, bytes.fromhex(data.removeprefix("0x")))
        except DecodingError as error:
            raise DevnetError(
                f"{self.name}.{found.signature} answered {data[:80]!r}: is the contract there?"
            ) from error
        plain = tuple(_to_plain(value) for value in values)
        return plain[0] if len(plain) == 1 else plain

    def topic(self, event: str) -> str:
        """Topic 0 of the event ``event``."""
        return next(found.topic for found in self.events.values() if found.name == event)

    def decode_log(self, log: Mapping[str, Any]) -> Event | None:
        """A node's log as an event of this contract; None when it is none of them."""
        topics: Sequence[str] = log["topics"]
        found = self.events.get(topics[0]) if topics else None
        if found is None:
            return None
        rest = [kind for _, kind, indexed in found.inputs if not indexed]
        data = iter(abi_decode(rest, bytes.fromhex(str(log["data"]).removeprefix("0x"))))
        indexed_topics = iter(topics[1:])
        args: dict[str, Any] = {}
        for name, kind, indexed in found.inputs:
            if indexed:
                word = bytes.fromhex(next(indexed_topics).removeprefix("0x"))
                args[name] = _to_plain(abi_decode([kind], word)[0])
            else:
                args[name] = _to_plain(next(data))
        return Event(
            str(log["address"]).lower(),
            found.name,
            args,
            int(log["blockNumber"], 16),
            int(log["logIndex"], 16),
        )

    def _function(self, name: str) -> Function:
        if name not in self.functions:
            raise DevnetError(f"{self.name} has no function {name}")
        return self.functions[name]


@cache
def load(name: str) -> Abi:
    """The interface of the contract ``name``. Raises ``DevnetError`` when it is not compiled."""
    return Abi(name)


@cache
def _all_errors() -> dict[str, str]:
    known = {
        "0x08c379a0": "Error(string)",
        "0x4e487b71": "Panic(uint256)",
    }
    for path in sorted(ARTIFACTS.glob("*.json")):
        known.update(load(path.stem).errors)
    return known


def encode_values(types: Sequence[str], values: Sequence[object]) -> str:
    """``abi.encode`` of values of these types (0x-hex)."""
    return "0x" + abi_encode(types, _to_abi(values)).hex()


def prompt_id(challenge_id: int, subject: str) -> str:
    """keccak256(abi.encodePacked(uint256 challengeId, address subject))."""
    packed = challenge_id.to_bytes(32, "big") + bytes.fromhex(subject.removeprefix("0x"))
    return "0x" + keccak(packed).hex()


def error_name(data: str | None) -> str:
    """The name of the custom error in revert data; ``reverted`` when there is none."""
    if not data or len(data) < 10:
        return "reverted"
    signature = _all_errors().get(data[:10])
    return signature.partition("(")[0] if signature else f"reverted with {data[:10]}"


def _canonical(part: Mapping[str, Any]) -> str:
    kind = str(part["type"])
    if not kind.startswith("tuple"):
        return kind
    inner = ",".join(_canonical(component) for component in part["components"])
    return f"({inner}){kind.removeprefix('tuple')}"


def _to_abi(value: Any) -> Any:
    """Hex text becomes bytes, except addresses, which eth-abi takes as text."""
    if isinstance(value, str) and value.startswith("0x") and len(value) != 42:
        return bytes.fromhex(value[2:])
    if isinstance(value, list | tuple):
        return tuple(_to_abi(item) for item in cast("Sequence[Any]", value))
    return value


def _to_plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, list | tuple):
        return tuple(_to_plain(item) for item in cast("Sequence[Any]", value))
    return value.lower() if isinstance(value, str) and _is_address(value) else value


def _is_address(value: str) -> bool:
    return len(value) == 42 and value.startswith("0x")
