"""The committed artifacts: what the sources compile to, and what the protocol calls things."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from lightchallenge_dagster.devnet import abi
from lightchallenge_dagster.devnet.compile import (
    ARTIFACTS,
    CONTRACTS,
    SOURCES,
    compile_contracts,
    render,
    stale_artifacts,
)


@pytest.fixture(scope="module")
def compiled() -> dict[str, dict[str, Any]]:
    return compile_contracts()


def test_the_artifacts_are_what_the_sources_compile_to(compiled: dict[str, dict[str, Any]]) -> None:
    assert stale_artifacts(compiled) == []


def test_artifacts_that_are_missing_left_over_or_changed_are_named(
    compiled: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    folder = tmp_path / "artifacts"
    shutil.copytree(ARTIFACTS, folder)
    assert stale_artifacts(compiled, folder) == []
    (folder / "Treasury.json").unlink()
    (folder / "Relic.json").write_text("{}")
    changed = dict(compiled["MetadataRegistry"])
    changed["bytecode"] += "00"
    (folder / "MetadataRegistry.json").write_text(render(changed))
    assert stale_artifacts(compiled, folder) == ["MetadataRegistry", "Relic", "Treasury"]


@pytest.mark.parametrize("name", CONTRACTS)
def test_an_artifact_names_the_sources_it_was_made_from(name: str) -> None:
    text = (ARTIFACTS / f"{name}.json").read_text()
    artifact = json.loads(text)
    assert artifact["contractName"] == name
    assert artifact["compiler"].startswith("0.8.37+commit.")
    for file, digest in artifact["sources"].items():
        assert hashlib.sha256((SOURCES / file).read_bytes()).hexdigest() == digest
    assert f"{name}.sol" in artifact["sources"]
    assert text == render(artifact)


CREATE = "(uint8,uint8,address,uint256,uint256,uint256,uint256,uint256,address,uint256,bytes32)"
CHALLENGE = (
    "(uint256,uint8,uint8,uint8,address,uint8,address,uint256,uint256,uint256,uint256,uint256,"
    "uint256,uint256,address,uint256,uint32,uint256,bool,bool,bool)"
)
# Contract -> function signature -> what it returns.
FUNCTIONS: dict[str, dict[str, str]] = {
    "ChallengePay": {
        f"createChallenge({CREATE})": "uint256",
        "joinChallengeNative(uint256)": "",
        "joinChallengeERC20(uint256,uint256)": "",
        "submitProofFor(uint256,address,bytes)": "",
        "submitMyProof(uint256,bytes)": "",
        "submitProofForBatch(uint256,address[],bytes[])": "",
        "finalize(uint256)": "",
        "cancelChallenge(uint256)": "",
        "claimWinner(uint256)": "",
        "claimLoser(uint256)": "",
        "claimRefund(uint256)": "",
        "autoDistribute(uint256,address[],address[])": "",
        "autoRefund(uint256,address[])": "",
        "setDispatcher(address,bool)": "",
        "dispatchers(address)": "bool",
        "admin()": "address",
        "globalPaused()": "bool",
        "pauseChallenge(uint256,bool)": "",
        "pauseAll(bool)": "",
        "setVerificationConfig(uint256,address,uint256)": "",
        "setFeeConfig((uint16,uint16,uint16,uint16))": "",
        "setLeadTimeBounds(uint256,uint256)": "",
        "contribOf(uint256,address)": "uint256",
        "isWinner(uint256,address)": "bool",
        "getChallenge(uint256)": CHALLENGE,
    },
    "Treasury": {
        "claimETH(uint256,uint256)": "",
        "claimETHTo(uint256,address,uint256)": "",
        "ethAllowanceOf(uint256,address)": "uint256",
        "hasRole(bytes32,address)": "bool",
        "OPERATOR_ROLE()": "bytes32",
        "grantRole(bytes32,address)": "",
    },
    "AIVMInferenceV2": {
        "requestInferenceV2(string,bytes32,bytes32,bytes32,bytes32)": "uint256,bytes32",
        "requestIdByTaskId(bytes32)": "uint256",
        "commitInference(uint256,bytes32)": "",
        "revealInference(uint256,bytes32,string)": "",
        "submitPoIAttestation(bytes32,bytes32,bytes32,uint64,bytes)": "",
        "poiQuorum()": "uint64",
        "poiAttestationCount(bytes32)": "uint64",
        "poiResultHashByTask(bytes32)": "bytes32",
        "cancelExpired(uint256)": "",
        "timeoutReveal(uint256)": "",
        "reclaimAfterFinalizeTimeout(uint256)": "",
        "minRequestFeeWei()": "uint256",
        "requests(uint256)": (
            "address,string,bytes32,bytes32,bytes32,bytes32,bytes32,uint256,uint64,uint64,uint64,"
            "uint64,uint8,address,bytes32,uint64,bytes32,string,uint64,uint64"
        ),
    },
    "ChallengeTaskRegistry": {
        "recordBinding(uint256,address,uint256,bytes32,bytes32,bytes32,bytes32,uint16)": "",
        "clearBinding(uint256,address)": "",
        "setDispatcher(address,bool)": "",
        "dispatchers(address)": "bool",
        "owner()": "address",
        "getBinding(uint256,address)": "uint256,bytes32,bytes32,bytes32,bytes32,uint16,bool",
    },
    "ChallengePayAivmPoiVerifier": {"verify(uint256,address,bytes)": "bool"},
    "ChallengeAchievement": {"achievementOf(uint256)": "uint256,address,uint8,uint64"},
    "MetadataRegistry": {
        "ownerSet(address,uint256,string)": "",
        "ownerForceSet(address,uint256,string)": "",
        "ownerClear(address,uint256)": "",
        "uri(address,uint256)": "string",
        "hasUri(address,uint256)": "bool",
    },
}
# Contract -> events, indexed arguments marked.
EVENTS: dict[str, list[str]] = {
    "ChallengePay": [
        "ChallengeCreated(uint256 idx,address idx,uint8,uint8,address,uint256,bytes32)",
        "Joined(uint256 idx,address idx,uint256)",
        "ParticipantProofSubmitted(uint256 idx,address idx,address idx,bool)",
        "WinnerMarked(uint256 idx,address idx,uint256,uint256,uint32)",
        "VerificationConfigUpdated(uint256 idx,address,uint256)",
        "Finalized(uint256 idx,uint8,uint8)",
        "Paused(uint256 idx,bool)",
        "Canceled(uint256 idx)",
        "FeesBooked(uint256 idx,uint256,uint256,uint256)",
        "SnapshotSet(uint256 idx,bool)",
        "WinnerClaimed(uint256 idx,address idx,uint256)",
        "LoserClaimed(uint256 idx,address idx,uint256)",
        "RefundClaimed(uint256 idx,address idx,uint256)",
        "AutoDistributed(uint256 idx,uint256,uint256)",
        "AutoRefunded(uint256 idx,uint256)",
        "DispatcherSet(address idx,bool)",
        "GlobalPaused(bool)",
    ],
    "Treasury": [
        "ClaimedETH(uint256 idx,address idx,uint256)",
        "ClaimedERC20(uint256 idx,address idx,address idx,uint256)",
    ],
    "AIVMInferenceV2": [
        "InferenceRequestedV2(uint256 idx,address idx,bytes32 idx,string,bytes32,bytes32,"
        "bytes32,bytes32)",
        "InferenceCommitted(uint256 idx,address idx,bytes32)",
        "InferenceRevealed(uint256 idx,address idx,bytes32,string)",
        "PoIAttested(bytes32 idx,address idx,uint64,bytes32,bytes32,uint64)",
        "InferenceFinalized(uint256 idx,bytes32 idx,address idx,bytes32,uint256,uint256)",
    ],
    "ChallengeTaskRegistry": [
        "BindingRecorded(uint256 idx,address idx,uint256,bytes32,bytes32,bytes32,bytes32,uint16)",
        "BindingCleared(uint256 idx,address idx)",
    ],
    "ChallengeAchievement": [
        "AchievementMinted(uint256 idx,uint256 idx,address idx,uint8)",
        "AdminMinted(uint256 idx,address idx,uint256 idx)",
    ],
    "MetadataRegistry": [
        "MetadataSet(address idx,uint256 idx,address idx,string)",
        "MetadataForceSet(address idx,uint256 idx,address idx,string,string)",
        "MetadataCleared(address idx,uint256 idx,address idx)",
    ],
}
ERRORS: dict[str, str] = {
    "ChallengePay": (
        "NotAdmin ZeroAddress InvalidBounds WrongMsgValue AmountZero ChallengePaused StartTooSoon "
        "LeadTimeOutOfBounds DeadlineRequired ProofDeadlineBeforeEnd JoinClosesAfterStart "
        "NotEligible NotActive AlreadyCanceled JoinWindowClosed MaxParticipantsReached "
        "ProofNotOpen ProofWindowClosed AlreadyWinner AlreadyFinalized BeforeDeadline "
        "TightenOnlyViolation GlobalPausedError ChallengeNotFinalized NotCreatorOrAdmin "
        "TokenNotAllowed ExternalIdAlreadyUsed NotPendingAdmin"
    ),
    "Treasury": "BadParams AllowanceTooLow InsufficientBucketBalance InsufficientTreasuryBalance",
    "AIVMInferenceV2": (
        "InvalidParams InsufficientFee TooManyPending NotRequester NotWorker WrongStatus "
        "DeadlinePassed DeadlineNotReached InsufficientBond AlreadyFinalized InvalidSignature "
        "NotActiveValidator ConflictingPoIResult Disputed"
    ),
    "ChallengeTaskRegistry": (
        "NotAuthorized InvalidSubject InvalidTask InvalidRequestId InvalidModelDigest "
        "InvalidSchemaVersion"
    ),
    "MetadataRegistry": "NotOwner EmptyUri AlreadySet",
}


@pytest.mark.parametrize(
    ("contract", "signature", "outputs"),
    [
        pytest.param(contract, signature, outputs, id=f"{contract}.{signature.partition('(')[0]}")
        for contract, functions in FUNCTIONS.items()
        for signature, outputs in functions.items()
    ],
)
def test_a_function_is_called_as_the_protocol_says(
    contract: str, signature: str, outputs: str
) -> None:
    function = abi.load(contract).functions[signature]
    assert ",".join(function.outputs) == outputs


@pytest.mark.parametrize("contract", EVENTS)
def test_events_are_as_the_protocol_says(contract: str) -> None:
    written = {
        f"{event.name}("
        + ",".join(kind + (" idx" if indexed else "") for _, kind, indexed in event.inputs)
        + ")"
        for event in abi.load(contract).events.values()
    }
    assert set(EVENTS[contract]) - written == set()


@pytest.mark.parametrize("contract", ERRORS)
def test_errors_are_named_as_the_protocol_says_and_carry_nothing(contract: str) -> None:
    signatures = set(abi.load(contract).errors.values())
    assert {f"{name}()" for name in ERRORS[contract].split()} - signatures == set()


def test_well_known_selectors_and_topics_come_out_right() -> None:
    token = abi.load("DevnetToken")
    assert token.functions["transfer"].selector == "0xa9059cbb"
    transfer = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
    assert token.topic("Transfer") == abi.load("ChallengeAchievement").topic("Transfer") == transfer
