"""Code put in front of the devnet's contracts, so that they can also say what they rarely say.

The real contract stays behind it (``delegatecall``, its own storage), and two more calls are open
to everybody: emit any log, and set any storage slot. So the strange but possible (a type above
one, a log that does not fit its signature, a pre-V1 claim) comes from the very address that the
indexer reads, in an ordinary transaction that a reorg can orphan.
"""

from __future__ import annotations

from collections.abc import Sequence

from eth_utils.crypto import keccak

EMIT, STORE = "ffffffff", "fffffffe"

ALWAYS_TRUE = "0x600160005260206000f3"
"""A verifier that verifies everything."""

_OPCODES = {
    "STOP": 0x00, "EQ": 0x14, "SHR": 0x1C, "CALLDATALOAD": 0x35, "CALLDATASIZE": 0x36,
    "CALLDATACOPY": 0x37, "RETURNDATASIZE": 0x3D, "RETURNDATACOPY": 0x3E, "SSTORE": 0x55,
    "SUB": 0x03, "JUMP": 0x56, "JUMPI": 0x57, "GAS": 0x5A, "JUMPDEST": 0x5B, "DUP1": 0x80,
    "LOG0": 0xA0, "LOG1": 0xA1, "LOG2": 0xA2, "LOG3": 0xA3, "LOG4": 0xA4, "RETURN": 0xF3,
    "DELEGATECALL": 0xF4, "REVERT": 0xFD,
}  # fmt: skip


def front(implementation: str) -> str:
    """The code for an address whose real code now lies at ``implementation`` (0x-hex)."""
    data_at = 4 + 32 * 5
    program = [
        "0", "CALLDATALOAD", "224", "SHR",
        "DUP1", str(int(EMIT, 16)), "EQ", "@emit", "JUMPI",
        "DUP1", str(int(STORE, 16)), "EQ", "@store", "JUMPI",
        "CALLDATASIZE", "0", "0", "CALLDATACOPY",
        "0", "0", "CALLDATASIZE", "0", str(int(implementation, 16)), "GAS", "DELEGATECALL",
        "RETURNDATASIZE", "0", "0", "RETURNDATACOPY",
        "@returns", "JUMPI", "RETURNDATASIZE", "0", "REVERT",
        ":returns", "RETURNDATASIZE", "0", "RETURN",
        ":store", "36", "CALLDATALOAD", "4", "CALLDATALOAD", "SSTORE", "STOP",
        ":emit", str(data_at), "CALLDATASIZE", "SUB", str(data_at), "0", "CALLDATACOPY",
    ]  # fmt: skip
    for count in range(5):
        program += ["4", "CALLDATALOAD", str(count), "EQ", f"@log{count}", "JUMPI"]
    program.append("STOP")
    for count in range(5):
        program.append(f":log{count}")
        for topic in reversed(range(count)):
            program += [str(36 + 32 * topic), "CALLDATALOAD"]
        program += [str(data_at), "CALLDATASIZE", "SUB", "0", f"LOG{count}", "STOP"]
    return _assembled(program)


def emitting(topics: Sequence[str], data: str = "") -> str:
    """Call data that makes a front emit this log; ``data`` is hex without 0x."""
    words = [topic.removeprefix("0x") for topic in topics] + ["00" * 32] * (4 - len(topics))
    return "0x" + EMIT + len(topics).to_bytes(32, "big").hex() + "".join(words) + data


def storing(slot: int, value: int) -> str:
    """Call data that makes a front set a storage slot."""
    return "0x" + STORE + slot.to_bytes(32, "big").hex() + value.to_bytes(32, "big").hex()


def topic(signature: str) -> str:
    """Topic 0 of a canonical event signature."""
    return "0x" + keccak(text=signature).hex()


def word(value: int | str) -> str:
    """A number or an address as 32 bytes of hex, without 0x."""
    if isinstance(value, str):
        return value.removeprefix("0x").rjust(64, "0")
    return value.to_bytes(32, "big").hex()


def _assembled(program: Sequence[str]) -> str:
    code, labels, wanted = bytearray(), dict[str, int](), list[tuple[int, str]]()
    for part in program:
        if part.startswith(":"):
            labels[part[1:]] = len(code)
            code.append(_OPCODES["JUMPDEST"])
        elif part.startswith("@"):
            wanted.append((len(code) + 1, part[1:]))
            code += b"\x61\x00\x00"
        elif part.isdigit():
            number = int(part)
            raw = number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big")
            code += bytes([0x5F + len(raw)]) + raw
        else:
            code.append(_OPCODES[part])
    for at, label in wanted:
        code[at : at + 2] = labels[label].to_bytes(2, "big")
    return "0x" + code.hex()
