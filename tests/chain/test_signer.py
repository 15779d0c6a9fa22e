"""A signer's key shows nowhere."""

from __future__ import annotations

import pickle
import traceback

import pytest
from eth_account import Account

from lightchallenge_dagster.chain.signer import Signer
from lightchallenge_dagster.errors import PermanentError

KEY = "0x" + "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"


def test_a_signer_shows_its_address_and_not_its_key() -> None:
    signer = Signer(KEY)
    assert repr(signer) == str(signer) == "Signer(0x2c7536e3605d9c16a7a3d7b1898e529396a65c23)"
    with pytest.raises(TypeError):
        pickle.dumps(signer)
    assert not hasattr(signer, "__dict__")  # nothing for a debugger to print


@pytest.mark.parametrize("bad", [KEY + "00", KEY[:-2], "0x" + "zz" * 32, "0x" + "00" * 32, ""])
def test_a_bad_key_is_named_by_its_variable_and_never_repeated(bad: str) -> None:
    with pytest.raises(PermanentError) as caught:
        Signer(bad, variable="LCAI_WORKER_PK")
    told = "".join(traceback.format_exception(caught.value))
    assert "LCAI_WORKER_PK" in told
    assert KEY[2:20] not in told
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_a_signed_transaction_is_the_signers_own() -> None:
    signer = Signer(KEY)
    signed = signer.sign(
        {
            "chainId": 504,
            "nonce": 0,
            "to": "0x" + "ab" * 20,
            "data": "0x",
            "value": 1,
            "gas": 21000,
            "maxFeePerGas": 2,
            "maxPriorityFeePerGas": 1,
        }
    )
    assert Account.recover_transaction(signed.raw).lower() == signer.address
    assert len(signed.hash) == 66
