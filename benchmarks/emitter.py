"""Contracts that emit whatever they are told: a made-up history on a real EVM, quickly.

``EMITTER`` stands in for every contract of the deployment. A call whose first byte is 1 to 4 is a
log with so many topics: they follow, 32 bytes each, then its data. Any other call is taken for
``getChallenge(id)`` / ``achievementOf(id)`` (36 bytes) or ``contribOf(id, wallet)`` (68 bytes).
``CALLER`` passes parts of its calldata on, each 20 bytes of address, 2 of length, and the call.
Neither stores anything, so a chain of tens of thousands of blocks is mined in a minute.
"""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.events import ADDRESSES, ETH, FIRST_TIME, VERIFIER, ZERO, Log

CALLER_ADDRESS = "0x" + "ca" * 20
STAKE = ETH

_OPCODES = {
    "ADD": 0x01, "MUL": 0x02, "SUB": 0x03, "LT": 0x10, "EQ": 0x14, "ISZERO": 0x15, "AND": 0x16,
    "BYTE": 0x1A, "SHR": 0x1C, "CALLDATALOAD": 0x35, "CALLDATASIZE": 0x36, "CALLDATACOPY": 0x37,
    "CODECOPY": 0x39, "POP": 0x50, "MSTORE": 0x52, "SLOAD": 0x54, "JUMP": 0x56, "JUMPI": 0x57,
    "GAS": 0x5A, "JUMPDEST": 0x5B, "DUP1": 0x80, "DUP2": 0x81, "DUP3": 0x82, "DUP4": 0x83,
    "DUP7": 0x86, "SWAP1": 0x90,
    "SWAP2": 0x91, "LOG1": 0xA1, "LOG2": 0xA2, "LOG3": 0xA3, "LOG4": 0xA4, "CALL": 0xF1,
    "RETURN": 0xF3, "STOP": 0x00, "REVERT": 0xFD,
}  # fmt: skip


def assemble(source: str, tail: bytes = b"") -> str:
    """EVM code (0x-hex) of words: opcodes, numbers (pushed), ``name:`` and ``@name`` labels.

    ``@tail`` is where ``tail`` begins, which follows the code.
    """
    code = bytearray()
    labels: dict[str, int] = {}
    holes: list[tuple[int, str]] = []
    for word in source.split():
        if word.endswith(":"):
            labels[word[:-1]] = len(code)
            code.append(_OPCODES["JUMPDEST"])
        elif word.startswith("@"):
            code.append(0x61)  # PUSH2
            holes.append((len(code), word[1:]))
            code += b"\0\0"
        elif word in _OPCODES:
            code.append(_OPCODES[word])
        else:
            number = int(word, 0)
            raw = number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big")
            code += bytes([0x5F + len(raw)]) + raw
    labels["tail"] = len(code)
    for at, name in holes:
        code[at : at + 2] = labels[name].to_bytes(2, "big")
    return "0x" + (bytes(code) + tail).hex()


def _log_branch(topics: int) -> str:
    start = 1 + 32 * topics
    loads = " ".join(f"{1 + 32 * at} CALLDATALOAD" for at in reversed(range(topics)))
    size = f"{start} CALLDATASIZE SUB"
    return f"emit{topics}: {size} {start} 0 CALLDATACOPY {loads} {size} 0 LOG{topics} STOP "


def _template() -> bytes:
    """getChallenge's answer, all but the id and the creator."""
    start = FIRST_TIME
    values = (
        0, 0, 0, 0, 0, 0, int(ZERO, 16), STAKE, start, start, 86_400, 0, STAKE, 1,
        int(VERIFIER, 16), start + 2 * 86_400, 0, 0, 0, 0, 0,
    )  # fmt: skip
    return b"".join(value.to_bytes(32, "big") for value in values)


EMITTER = assemble(
    "0 CALLDATALOAD 0 BYTE "
    + " ".join(f"DUP1 {topics} EQ @emit{topics} JUMPI" for topics in range(1, 5))
    + f" POP 68 CALLDATASIZE EQ @contribution JUMPI {len(_template())} @tail 0 CODECOPY"
    " 4 CALLDATALOAD 0 MSTORE 4 CALLDATALOAD SLOAD 128 MSTORE"
    f" {len(_template())} 0 RETURN contribution: {STAKE} 0 MSTORE 32 0 RETURN "
    + " ".join(_log_branch(topics) for topics in range(1, 5)),
    _template(),
)

CALLER = assemble(
    """
    0
    loop: DUP1 CALLDATASIZE SWAP1 LT ISZERO @end JUMPI
    DUP1 CALLDATALOAD DUP1 80 SHR 65535 AND
    DUP1 DUP4 22 ADD 0 CALLDATACOPY
    0 0 DUP3 0 0 DUP7 96 SHR GAS CALL ISZERO @fail JUMPI
    SWAP1 POP ADD 22 ADD @loop JUMP
    end: STOP
    fail: 0 0 REVERT
    """
)


def calldata(logs: Iterable[Log]) -> str:
    """What to send to the caller so that these logs are emitted, in order, in one transaction."""
    parts: list[str] = []
    for log in logs:
        call = f"{len(log.topics):02x}{''.join(topic[2:] for topic in log.topics)}{log.data[2:]}"
        parts.append(f"{ADDRESSES[log.role][2:]}{len(call) // 2:04x}{call}")
    return "0x" + "".join(parts)
