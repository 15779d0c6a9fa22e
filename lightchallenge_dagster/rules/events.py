"""The events this pipeline reads, and how a raw log becomes one of them.

``SPECS`` is the one registry. Adding an event is adding one ``EventSpec`` to it: the contract's
role, the event's Solidity signature with its indexed arguments, and which argument holds the
challenge, the wallet and the inference request. The reader asks the node for every topic in here,
the indexer stores the decoded arguments beside the raw log, and nothing else has to change until
a projection wants to use it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Literal, cast

import msgspec
from eth_abi.abi import decode as abi_decode
from eth_abi.exceptions import DecodingError
from eth_utils.crypto import keccak

from lightchallenge_dagster.rules import hexes

BIGINT_MAX = 2**63 - 1
NUMERIC_78 = 10**78

LEGACY_ROLE = "legacy_challengepay"

CONTRACTS: Mapping[str, str] = {
    "challengepay": "ChallengePay",
    "treasury": "Treasury",
    "aivm_inference": "AIVMInferenceV2",
    "task_registry": "ChallengeTaskRegistry",
    "achievement": "ChallengeAchievement",
    "metadata_registry": "MetadataRegistry",
    LEGACY_ROLE: "LegacyChallengePay",
}
"""Role of an address in the settings -> the contract's name, as in ``ChallengePay.Joined``."""

SnapshotKind = Literal["challenge", "achievement"]


class RawLog(msgspec.Struct, frozen=True, gc=False):
    """One log as a node returned it. Hex is lowercase, numbers are ints."""

    block_number: int
    block_hash: str
    tx_hash: str
    tx_index: int
    log_index: int
    address: str
    topics: tuple[str, ...]
    data: str


@dataclass(frozen=True, slots=True)
class EventSpec:
    """One event of one contract.

    ``signature`` is Solidity's, with ``indexed`` and argument names. ``challenge_id``,
    ``account`` and ``request_id`` name the argument that holds each, if there is one;
    ``snapshot`` says what has to be read from the contract when the log is fetched, because the
    event itself does not carry it. ``limits`` names arguments and the largest value of each that
    means something: with a larger one no row can follow from the event, so it gets a ``problem``.
    """

    role: str
    signature: str
    challenge_id: str | None = None
    account: str | None = None
    request_id: str | None = None
    snapshot: SnapshotKind | None = None
    limits: tuple[tuple[str, int], ...] = ()


class DecodedEvent(msgspec.Struct, frozen=True, gc=False):
    """What a log says. ``event`` is None, and ``problem`` says why, when it could not be decoded.

    A ``problem`` beside an ``event`` says why no row follows from what was decoded.

    ``args`` holds every argument by its Solidity name: integers as decimal strings, addresses and
    bytes as lowercase hex, booleans as they are. ``challenge_id`` is None where the event has
    none, or one that no bigint column can hold.
    """

    event: str | None
    challenge_id: int | None = None
    account: str | None = None
    request_id: int | None = None
    args: dict[str, Any] | None = None
    snapshot: SnapshotKind | None = None
    problem: str | None = None


def _challengepay(
    signature: str, account: str | None = None, snapshot: SnapshotKind | None = None
) -> EventSpec:
    return EventSpec("challengepay", signature, "id", account, snapshot=snapshot)


def _legacy(name: str) -> EventSpec:
    signature = f"{name}(uint256 indexed id, address indexed who, uint256 amount)"
    return EventSpec(LEGACY_ROLE, signature, "id", "who")


ACHIEVEMENT_TYPES = ("completion", "victory")
"""The types of an achievement, by the contract's number. It may know more one day; we do not."""

_MINTED = (("tokenId", BIGINT_MAX), ("challengeId", BIGINT_MAX))
_TYPED = (*_MINTED, ("aType", len(ACHIEVEMENT_TYPES) - 1))

_USER_AMOUNT = "(uint256 indexed id, address indexed user, uint256 amount)"

SPECS: tuple[EventSpec, ...] = (
    # ChallengePay, version 1
    _challengepay(
        "ChallengeCreated(uint256 indexed id, address indexed creator, uint8 kind, uint8 currency,"
        " address token, uint256 startTs, bytes32 externalId)",
        "creator",
        snapshot="challenge",
    ),
    _challengepay(f"Joined{_USER_AMOUNT}", "user"),
    _challengepay(
        "ParticipantProofSubmitted(uint256 indexed id, address indexed participant,"
        " address indexed verifier, bool ok)",
        "participant",
    ),
    _challengepay(
        "WinnerMarked(uint256 indexed id, address indexed participant, uint256 contrib,"
        " uint256 winnersPool, uint32 winnersCount)",
        "participant",
    ),
    _challengepay(
        "VerificationConfigUpdated(uint256 indexed id, address verifier, uint256 proofDeadlineTs)"
    ),
    _challengepay("Finalized(uint256 indexed id, uint8 status, uint8 outcome)"),
    _challengepay("Paused(uint256 indexed id, bool paused)"),
    _challengepay("Canceled(uint256 indexed id)"),
    _challengepay(
        "FeesBooked(uint256 indexed id, uint256 protocolAmt, uint256 creatorAmt, uint256 cashback)"
    ),
    _challengepay("SnapshotSet(uint256 indexed id, bool success)"),
    _challengepay(f"WinnerClaimed{_USER_AMOUNT}", "user"),
    _challengepay(f"LoserClaimed{_USER_AMOUNT}", "user"),
    _challengepay(f"RefundClaimed{_USER_AMOUNT}", "user"),
    _challengepay("AutoDistributed(uint256 indexed id, uint256 winnersCount, uint256 losersCount)"),
    _challengepay("AutoRefunded(uint256 indexed id, uint256 count)"),
    EventSpec("challengepay", "DispatcherSet(address indexed addr, bool enabled)", account="addr"),
    EventSpec("challengepay", "GlobalPaused(bool paused)"),
    # ChallengePay before V1: claims only, their ids overlap V1's
    _legacy("PrincipalClaimed"),
    _legacy("CashbackClaimed"),
    _legacy("ValidatorClaimed"),
    _legacy("ValidatorRejectClaimed"),
    _legacy("RejectCreatorClaimed"),
    _legacy("RejectContributionClaimed"),
    # Treasury: the bucket is the challenge
    EventSpec(
        "treasury",
        "ClaimedETH(uint256 indexed bucketId, address indexed to, uint256 amount)",
        "bucketId",
        "to",
    ),
    EventSpec(
        "treasury",
        "ClaimedERC20(uint256 indexed bucketId, address indexed token, address indexed to,"
        " uint256 amount)",
        "bucketId",
        "to",
    ),
    # AIVMInferenceV2
    EventSpec(
        "aivm_inference",
        "InferenceRequestedV2(uint256 indexed requestId, address indexed requester,"
        " bytes32 indexed taskId, string model, bytes32 promptHash, bytes32 promptId,"
        " bytes32 modelDigest, bytes32 detConfigHash)",
        account="requester",
        request_id="requestId",
    ),
    EventSpec(
        "aivm_inference",
        "InferenceCommitted(uint256 indexed requestId, address indexed worker, bytes32 commitment)",
        account="worker",
        request_id="requestId",
    ),
    EventSpec(
        "aivm_inference",
        "InferenceRevealed(uint256 indexed requestId, address indexed worker,"
        " bytes32 responseHash, string response)",
        account="worker",
        request_id="requestId",
    ),
    EventSpec(
        "aivm_inference",
        "PoIAttested(bytes32 indexed taskId, address indexed signer, uint64 count,"
        " bytes32 resultHash, bytes32 transcriptHash, uint64 slot)",
        account="signer",
    ),
    EventSpec(
        "aivm_inference",
        "InferenceFinalized(uint256 indexed requestId, bytes32 indexed taskId,"
        " address indexed worker, bytes32 resultHash, uint256 workerPaidWei,"
        " uint256 protocolFeeWei)",
        account="worker",
        request_id="requestId",
    ),
    # ChallengeTaskRegistry
    EventSpec(
        "task_registry",
        "BindingRecorded(uint256 indexed challengeId, address indexed subject, uint256 requestId,"
        " bytes32 taskId, bytes32 modelDigest, bytes32 paramsHash, bytes32 benchmarkHash,"
        " uint16 schemaVersion)",
        "challengeId",
        "subject",
        "requestId",
    ),
    EventSpec(
        "task_registry",
        "BindingCleared(uint256 indexed challengeId, address indexed subject)",
        "challengeId",
        "subject",
    ),
    # ChallengeAchievement
    EventSpec(
        "achievement",
        "AchievementMinted(uint256 indexed tokenId, uint256 indexed challengeId,"
        " address indexed recipient, uint8 aType)",
        "challengeId",
        "recipient",
        limits=_TYPED,
    ),
    EventSpec(
        "achievement",
        "AdminMinted(uint256 indexed tokenId, address indexed to, uint256 indexed challengeId)",
        "challengeId",
        "to",
        snapshot="achievement",
        limits=_MINTED,
    ),
    # MetadataRegistry
    EventSpec(
        "metadata_registry",
        "MetadataSet(address indexed challengeContract, uint256 indexed challengeId,"
        " address indexed setter, string newUri)",
        "challengeId",
        "setter",
    ),
    EventSpec(
        "metadata_registry",
        "MetadataForceSet(address indexed challengeContract, uint256 indexed challengeId,"
        " address indexed setter, string previousUri, string newUri)",
        "challengeId",
        "setter",
    ),
    EventSpec(
        "metadata_registry",
        "MetadataCleared(address indexed challengeContract, uint256 indexed challengeId,"
        " address indexed clearer)",
        "challengeId",
        "clearer",
    ),
)


def role_of(name: str) -> str:
    """The registry's role for a name in the settings: ``legacy_challengepay_3`` is legacy too."""
    return LEGACY_ROLE if name.startswith(LEGACY_ROLE) else name


def topics_for(roles: Iterable[str]) -> tuple[str, ...]:
    """Every topic0 that contracts in these roles emit and this pipeline reads, sorted."""
    wanted = {role_of(role) for role in roles}
    return tuple(sorted({topic for role, topic in _layouts() if role in wanted}))


def is_registered(role: str, topic0: str) -> bool:
    """Whether a contract in this role has an event with this topic in the registry."""
    return (role_of(role), topic0) in _layouts()


def decode(log: RawLog, role: str) -> DecodedEvent:
    """What ``log``, emitted by the contract in ``role``, says.

    Never raises for a log whose topic is registered: one that does not fit its signature comes
    back with ``event`` None and ``problem`` set, so that it can be stored raw and looked at.
    Text that is not UTF-8, or holds a NUL, which PostgreSQL cannot store, is decoded with U+FFFD
    in those places; the bytes themselves stay in the log's data.
    """
    topic0 = log.topics[0] if log.topics else ""
    layout = _layouts().get((role_of(role), topic0))
    if layout is None:
        return DecodedEvent(None, problem=f"no event with topic {topic0 or '(none)'} for {role}")
    try:
        return layout.decode(log)
    except _Unfit as unfit:
        return DecodedEvent(None, problem=f"{layout.event}: {unfit}")


def achievement_problem(a_type: int) -> str | None:
    """Why no row follows from a mint of this type, if none does (for a type read beside a log)."""
    if a_type < len(ACHIEVEMENT_TYPES):
        return None
    return f"its type is {a_type}, the largest known is {len(ACHIEVEMENT_TYPES) - 1}"


def may_contain(bloom: str, address: str, topics: Iterable[str]) -> bool:
    """Whether a header's 2048-bit ``logsBloom`` allows a log of ``address`` with one of ``topics``.

    False is certain, True is not: other logs of the block can set the same bits.
    """
    bits = int(bloom, 16)
    if not bits or not _within(bits, address):
        return False
    return any(_within(bits, topic) for topic in topics)


def bloom_of(logs: Iterable[RawLog]) -> int:
    """The bloom that a block with exactly these logs has in its header."""
    bits = 0
    for log in logs:
        bits |= _bloom_bits(log.address)
        for topic in log.topics:
            bits |= _bloom_bits(topic)
    return bits


# ── Layouts: a signature, read once ─────────────────────────────────────────────────────────

_SIGNATURE = re.compile(r"^(\w+)\((.*)\)$")
_WORD = 64
_HASH = hexes.shape(_WORD)
_NO_ADDRESS_BITS = "0" * 24

_Read = Callable[[str], Any]
"""A word (64 hex digits) -> the argument's value as JSON shows it. Raises ``_Unfit``."""


class _Unfit(Exception):
    """A log whose topics or data do not fit the event's signature."""


@dataclass(frozen=True, slots=True)
class _Argument:
    name: str
    type: str
    indexed: bool

    @property
    def dynamic(self) -> bool:
        return self.type in {"string", "bytes"}


@dataclass(frozen=True, slots=True)
class _Layout:
    """How one event's words become its arguments, looked up once and not per log.

    A log is read as a row, its topics and then its data. ``shape`` is the row's, where the event
    has no strings; ``fields`` cuts each argument's word from it, in the signature's order.
    """

    spec: EventSpec
    event: str
    topic0: str
    indexed: tuple[_Argument, ...]
    plain: tuple[_Argument, ...]
    fields: tuple[tuple[str, slice, _Read], ...]
    shape: bytes
    has_text: bool

    def decode(self, log: RawLog) -> DecodedEvent:
        row = "".join(log.topics) + log.data
        if self.has_text:
            self._require_form(log)
            args = self._with_text(row, log.data)
        else:
            if not hexes.fits(row, self.shape, len(self.indexed) + 2):
                self._require_form(log)
                raise _Unfit("its first topic is not 32 bytes of hex")
            args = {name: read(row[cut]) for name, cut, read in self.fields}
        spec = self.spec
        challenge_id = int(args[spec.challenge_id]) if spec.challenge_id else None
        if challenge_id is not None and challenge_id > BIGINT_MAX:
            challenge_id = None
        return DecodedEvent(
            self.event,
            challenge_id,
            args[spec.account] if spec.account else None,
            int(args[spec.request_id]) if spec.request_id else None,
            args,
            spec.snapshot,
            self._beyond(args) if spec.limits else None,
        )

    def _beyond(self, args: Mapping[str, Any]) -> str | None:
        for name, limit in self.spec.limits:
            if int(args[name]) > limit:
                return f"{self.event}: {name} is {args[name]}, the largest known is {limit}"
        return None

    def _require_form(self, log: RawLog) -> None:
        """Raise ``_Unfit`` with the part of the log that has not the form of the event."""
        if len(log.topics) != len(self.indexed) + 1:
            raise _Unfit(
                f"{len(log.topics)} topics, the signature has {len(self.indexed) + 1};"
                " is the address a contract of another version?"
            )
        for argument, topic in zip(self.indexed, log.topics[1:], strict=True):
            if not hexes.fits(topic, _HASH, 1):
                raise _Unfit(f"topic {topic} of {argument.name} is not 32 bytes of hex")
        digits = len(log.data) - 2
        if not hexes.fits(log.data, hexes.shape(digits), 1):
            raise _Unfit("data is not hex")
        if self.has_text and digits % 2:
            raise _Unfit("data has an odd number of hex digits")
        if not self.has_text and digits != _WORD * len(self.plain):
            raise _Unfit(f"{digits // 2} bytes of data, expected {32 * len(self.plain)}")

    def _with_text(self, row: str, data: str) -> dict[str, Any]:
        """The arguments of an event with strings: as compilers write them, or as anyone may."""
        texts = _texts(data[2:], self.plain)
        if texts is None:
            plain = self._anyhow(data)
        else:
            plain = {
                argument.name: _plain_value(argument, bytes.fromhex(texts[argument.name]))
                for argument in self.plain
                if argument.dynamic
            }
        return {
            name: plain[name] if name in plain else read(row[cut])
            for name, cut, read in self.fields
        }

    def _anyhow(self, data: str) -> dict[str, Any]:
        """The plain arguments of an encoding with gaps, overlaps or another order."""
        # Strings are read as bytes: what a stranger wrote need not be UTF-8.
        types = ["bytes" if argument.dynamic else argument.type for argument in self.plain]
        try:
            values = abi_decode(types, bytes.fromhex(data[2:]))
        except (DecodingError, OverflowError) as error:
            raise _Unfit(f"data does not decode: {error}") from error
        return {
            argument.name: _plain_value(argument, value)
            for argument, value in zip(self.plain, values, strict=True)
        }


def _texts(data: str, plain: tuple[_Argument, ...]) -> dict[str, str] | None:
    """The hex of each dynamic argument, if the data is encoded as compilers do it.

    That is: head, then each content in order, its length before it, zeros up to the next word,
    and nothing after the last. None for any other encoding, which may be valid all the same.
    """
    end = _WORD * len(plain)
    found: dict[str, str] = {}
    for at, argument in enumerate(plain):
        if not argument.dynamic:
            continue
        offset, length = data[at * _WORD : (at + 1) * _WORD], data[end : end + _WORD]
        if len(length) != _WORD or int(offset, 16) * 2 != end:
            return None
        size = int(length, 16) * 2
        begin, end = end + _WORD, end + _WORD + (size + _WORD - 1) // _WORD * _WORD
        if end > len(data) or data[begin + size : end].strip("0"):
            return None
        found[argument.name] = data[begin : begin + size]
    return found if end == len(data) else None


def _reader(argument: _Argument) -> _Read:
    """What reads this argument's word; for a dynamic argument the word is not its value."""
    name, kind = argument.name, argument.type

    def address(word: str) -> str:
        if word[:24] != _NO_ADDRESS_BITS:
            raise _Unfit(f"{name} is not an address: 0x{word}")
        return "0x" + word[24:]

    def bytes32(word: str) -> str:
        return "0x" + word

    def boolean(word: str) -> bool:
        value = int(word, 16)
        if value > 1:
            raise _Unfit(f"{name} is not a boolean: {value}")
        return value == 1

    def uint256(word: str) -> str:
        return str(int(word, 16))

    if argument.dynamic or kind == "bytes32":
        return bytes32
    readers: dict[str, _Read] = {"address": address, "bool": boolean, "uint256": uint256}
    if kind in readers:
        return readers[kind]
    bits = int(kind.removeprefix("uint"))

    def uint(word: str) -> str:
        value = int(word, 16)
        if value >> bits:
            raise _Unfit(f"{name} does not fit {kind}: {value}")
        return str(value)

    return uint


def _plain_value(argument: _Argument, value: Any) -> Any:
    if argument.type == "string":
        return cast("bytes", value).decode("utf-8", errors="replace").replace("\0", "\ufffd")
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, bool):
        return value
    return str(value).lower()


@cache
def _layouts() -> dict[tuple[str, str], _Layout]:
    layouts: dict[tuple[str, str], _Layout] = {}
    for spec in SPECS:
        layout = _layout(spec)
        layouts[(spec.role, layout.topic0)] = layout
    return layouts


def _layout(spec: EventSpec) -> _Layout:
    match = _SIGNATURE.match(spec.signature)
    if match is None:
        raise ValueError(f"not an event signature: {spec.signature}")
    name, inside = match.groups()
    arguments: list[_Argument] = []
    for part in inside.split(","):
        words = part.split()
        if len(words) not in {2, 3} or (len(words) == 3 and words[1] != "indexed"):
            raise ValueError(f"{spec.signature}: cannot read the argument {part.strip()!r}")
        arguments.append(_Argument(words[-1], words[0], len(words) == 3))
    canonical = f"{name}({','.join(argument.type for argument in arguments)})"
    indexed = tuple(argument for argument in arguments if argument.indexed)
    plain = tuple(argument for argument in arguments if not argument.indexed)
    starts = [(2 + _WORD) * (at + 1) + 2 for at in range(len(indexed))]
    starts += [(2 + _WORD) * (len(indexed) + 1) + 2 + _WORD * at for at in range(len(plain))]
    cuts = {
        argument.name: slice(start, start + _WORD)
        for argument, start in zip(indexed + plain, starts, strict=True)
    }
    limited = [name for name, _ in spec.limits]
    for pointer in (spec.challenge_id, spec.account, spec.request_id, *limited):
        if pointer is not None and pointer not in cuts:
            raise ValueError(f"{spec.signature} has no argument {pointer!r}")
    return _Layout(
        spec=spec,
        event=f"{CONTRACTS[spec.role]}.{name}",
        topic0="0x" + keccak(text=canonical).hex(),
        indexed=indexed,
        plain=plain,
        fields=tuple((each.name, cuts[each.name], _reader(each)) for each in arguments),
        shape=hexes.shape(_WORD, *[_WORD] * len(indexed), _WORD * len(plain)),
        has_text=any(argument.dynamic for argument in plain),
    )


def topic_of(event: str) -> str:
    """The topic0 of an event by its full name (``ChallengePay.Joined``); KeyError if unknown."""
    return {layout.event: layout.topic0 for layout in _layouts().values()}[event]


_BLOOM_ITEMS = 4_096
"""Addresses and topics whose bits are kept: whole blocks bring new ones for ever."""


@lru_cache(_BLOOM_ITEMS)
def _bloom_bits(item: str) -> int:
    digest = keccak(bytes.fromhex(item[2:]))
    bits = 0
    for at in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[at : at + 2], "big") & 2047)
    return bits


def _within(bits: int, item: str) -> bool:
    wanted = _bloom_bits(item)
    return bits & wanted == wanted
