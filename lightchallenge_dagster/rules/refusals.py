"""What a node's error means: ask for less, ask less often, ask later, or ask another node.

The wordings are those of nodes and providers in the field; tests/rules/test_refusals.py has a row
for each of them.
"""

from __future__ import annotations

import re

_RATE = re.compile(
    r"rate.?limit|too many requests|request rate|request (count|limit)|compute units|quota|throttl"
    r"|(requests?|calls?) (per|/) ?(second|minute|day)|/second|\brps\b|capacity|credits",
    re.I,
)
_REFUSAL = re.compile(
    r"too many (results|logs|blocks)|more than [\d,_]+ (results|logs|blocks|events)"
    r"|(block )?range.{0,40}(large|wide|big|high|exceed|limit|max|greater|over)"
    r"|exceed.{0,40}(range|limit|size|results|blocks)"
    r"|(limited|limit the query|up) to .{0,20}(block|range|results)"
    r"|(limited|up) to (a )?[\d,_]+\b|ranges? over [\d,_]+|blocks distance"
    r"|response (size|is)?.{0,30}(big|large|exceed|limit|greater)|too (big|large|wide)"
    r"|limit exceeded|timed out|timeout|result set|(try|retry) .{0,30}range|narrow your filter"
    r"|smaller than size|max(imum)? .{0,30}(block|range|results|logs)",
    re.I,
)
_UNKNOWN_BLOCK = re.compile(
    r"(beyond|past|after|above) (the )?(current |latest )?(head|block|chain)|out ?of ?range"
    r"|(block|header|height).{0,60}(not found|cannot be found|not available|does not exist)"
    r"|unknown block|invalid (block )?range|height is \d+ but",
    re.I,
)
_LOST_STATE = re.compile(
    r"missing trie node|(historical|world) state|\b(no|failed to load) state\b"
    r"|\bstate\b.{0,90}(not available|unavailable|not found)"
    r"|\bprun(ed|ing)\b|\barchiv(e|al)\b|version does not exist",
    re.I,
)
_REVERT = 3
"""The code of an ``eth_call`` that a contract refused; others send -32000 and say "reverted"."""

# 2000, 10,000, 10_000, 2K, 1k; not the first digits of something longer.
_NUMBER = r"(\d{1,3}(?:[,_.]\d{3})+|\d+)(\s?k)?\b"
_NOT_BLOCKS = r"(?!\s*(?:results|logs|events|entries|bytes|mb|kb|seconds|s\b|ms\b))"
_BLOCKS = f"{_NUMBER}{_NOT_BLOCKS}"
_OF_ANSWERS = r"(?!\w*\s*(?:results|logs|response|size|body))"
_SPANS = [
    re.compile(pattern, re.I)
    for pattern in (
        r"\[\s*(0x[0-9a-f]+|\d+)\s*,\s*(0x[0-9a-f]+|\d+)\s*\]",
        r"retry with the range\s+(0x[0-9a-f]+|\d+)\s*-\s*(0x[0-9a-f]+|\d+)",
    )
]
_PLAIN = r"(?:(?!results|logs|response|size)[^\d.])"
_LIMITS = [
    re.compile(pattern, re.I)
    for pattern in (
        rf"(?:up|limited|limit the query) to (?:at most |a |an )?{_BLOCKS}",
        rf"(?:at most|more than|ranges? over|smaller than size) {_BLOCKS}",
        rf"\bmax(?:imum)?\b{_OF_ANSWERS}{_PLAIN}{{0,45}}?{_BLOCKS}",
        rf"\brange (?:of )?\d+ (?:is bigger than|is over|exceeds){_PLAIN}{{0,25}}{_BLOCKS}",
        rf"\b(?:span|range)(?: \d+)? (?:exceeds|greater than|over)[^\d.(]{{0,45}}{_BLOCKS}",
        rf"\brange[^\d.]{{0,40}}\(\d+ > {_NUMBER}\)",
    )
]


def is_range_refusal(code: int | None, message: str) -> bool:
    """Whether a node's error to ``eth_getLogs`` means "ask for less", not "ask less often"."""
    if is_rate_limit(code, message) or is_unknown_block(message):
        return False
    return code == -32005 or bool(_REFUSAL.search(message))


def is_rate_limit(code: int | None, message: str) -> bool:
    """Whether a node's error means "ask less often": an outage, not an answer."""
    return code == 429 or (not _of_a_contract(code, message) and bool(_RATE.search(message)))


def is_unknown_block(message: str) -> bool:
    """Whether the node says that it does not have (or not yet) a block that it was asked about."""
    return bool(_UNKNOWN_BLOCK.search(message))


def is_lost_state(code: int | None, message: str) -> bool:
    """Whether the node no longer (or not yet) keeps what contracts held at an old block.

    Another endpoint may: it is no answer of the contract.
    """
    if _of_a_contract(code, message) or is_range_refusal(code, message):
        return False
    return bool(_LOST_STATE.search(message))


def _of_a_contract(code: int | None, message: str) -> bool:
    """Whether the words are a contract's: a stranger's may be chosen to look like a node's."""
    return code == _REVERT or "revert" in message.lower()


def suggested_range(message: str) -> int | tuple[int, int] | None:
    """What a refusal proposes instead: so many blocks, or the blocks from first to last.

    None when it proposes nothing; limits on logs and bytes are no proposal. It may be more than
    what was asked: some nodes propose the very range that they refused.
    """
    for pattern in _SPANS:
        if (found := pattern.search(message)) is not None:
            first, last = (int(number, 0) for number in found.groups())
            return (first, last) if first <= last else None
    limits = [
        _blocks(*found.groups()) for pattern in _LIMITS for found in pattern.finditer(message)
    ]
    return min((limit for limit in limits if limit > 0), default=None)


def suggested_blocks(message: str, first: int, last: int) -> int | None:
    """How many blocks to ask for, by a refusal of the blocks from ``first`` to ``last``.

    None when it proposes nothing, or nothing smaller.
    """
    found = suggested_range(message)
    if isinstance(found, tuple):
        begin, end = found
        found = end - (first if begin <= first <= end else begin) + 1
    return found if found is not None and found < last - first + 1 else None


def _blocks(digits: str, thousands: str | None) -> int:
    return int(re.sub(r"\D", "", digits)) * (1000 if thousands else 1)
