"""Refusals by name, in every shape nodes report them."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode
from hypothesis import example, given
from hypothesis import strategies as st

from lightchallenge_dagster.chain.abi import ERRORS, selector
from lightchallenge_dagster.chain.revert import decode_revert


def data_of(name: str) -> str:
    return "0x" + selector(f"{name}()").hex()


@pytest.mark.parametrize("name", ERRORS)
def test_every_custom_error_is_known_by_its_selector(name: str) -> None:
    revert = decode_revert("execution reverted", data_of(name))
    assert revert is not None
    assert revert.name == name


def test_no_two_errors_share_a_selector() -> None:
    assert len({selector(f"{name}()") for name in ERRORS}) == len(set(ERRORS)) == len(ERRORS)


@pytest.mark.parametrize(
    ("message", "data"),
    [
        ("execution reverted", data_of("NotAdmin")),
        ("execution reverted", {"data": data_of("NotAdmin")}),
        ("execution reverted", {"originalError": {"data": data_of("NotAdmin"), "code": 3}}),
        ("VM Exception", f"Reverted {data_of('NotAdmin')}"),
        (f"execution reverted: custom error {data_of('NotAdmin')}", None),
        ("execution reverted: NotAdmin()", None),
    ],
)
def test_the_data_is_found_wherever_the_node_puts_it(message: str, data: object) -> None:
    revert = decode_revert(message, data)
    assert revert is not None
    assert (revert.name, revert.meaning) == ("NotAdmin", "permanent")


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("AlreadyWinner", "done"),
        ("AlreadySet", "done"),
        ("AlreadyFinalized", "done"),
        ("BeforeDeadline", "waiting"),
        ("ProofNotOpen", "waiting"),
        ("ChallengePaused", "waiting"),
        ("GlobalPausedError", "waiting"),
        ("NotAdmin", "permanent"),
        ("NotEligible", "permanent"),
        ("ProofWindowClosed", "permanent"),
    ],
)
def test_an_error_means_done_waiting_or_permanent(name: str, meaning: str) -> None:
    revert = decode_revert("execution reverted", data_of(name))
    assert revert is not None
    assert revert.meaning == meaning


def test_a_reason_text_and_a_panic_are_read() -> None:
    reason = "0x" + (selector("Error(string)") + encode(["string"], ["too early"])).hex()
    panic = "0x" + (selector("Panic(uint256)") + encode(["uint256"], [0x11])).hex()
    assert str(decode_revert("execution reverted", reason)) == "too early"
    assert str(decode_revert("execution reverted", panic)) == "Panic(0x11)"


@given(st.binary(max_size=100))
def test_a_reason_of_any_bytes_is_read_as_text_that_can_be_stored(reason: bytes) -> None:
    data = "0x" + (selector("Error(string)") + encode(["bytes"], [reason])).hex()
    revert = decode_revert("execution reverted", data)
    assert revert is not None
    assert revert.name == reason.decode(errors="replace").replace("\0", "\ufffd")


def test_of_a_reason_that_never_ends_the_beginning_is_kept() -> None:
    data = "0x" + (selector("Error(string)") + encode(["string"], ["x" * 100_000])).hex()
    assert str(decode_revert("execution reverted", data)) == "x" * 500


WORDS = st.sampled_from([0, 1, 32, 64, 2**31, 2**63 - 1, 2**63, 2**64, 2**255, 2**256 - 1])


@example("Error(string)", [32, 2**255])
@given(st.sampled_from(["Error(string)", "Panic(uint256)", "NotAdmin()"]), st.lists(WORDS))
def test_whatever_follows_a_known_selector_the_error_has_a_name(
    signature: str, words: list[int]
) -> None:
    data = selector(signature) + b"".join(word.to_bytes(32, "big") for word in words)
    assert decode_revert("execution reverted", "0x" + data.hex()) is not None


def test_an_unknown_error_keeps_its_selector_for_the_reader() -> None:
    revert = decode_revert("execution reverted", "0xdeadbeef")
    assert revert is not None
    assert revert.name == "unknown error 0xdeadbeef"
    assert revert.meaning == "permanent"


@pytest.mark.parametrize(
    ("message", "data"),
    [
        ("rate limit exceeded", None),
        ("insufficient funds for gas * price + value", None),
        ("nonce too low: next nonce 5, tx nonce 4", None),
        ("header not found", {"hash": "0x" + "12" * 32}),
        ("gas required exceeds allowance (0)", None),
    ],
)
def test_the_nodes_own_trouble_is_not_a_refusal(message: str, data: object) -> None:
    assert decode_revert(message, data) is None


@given(
    message=st.text(), data=st.one_of(st.none(), st.text(), st.dictionaries(st.text(), st.text()))
)
def test_any_error_can_be_asked_about(message: str, data: object) -> None:
    decode_revert(message, data)
