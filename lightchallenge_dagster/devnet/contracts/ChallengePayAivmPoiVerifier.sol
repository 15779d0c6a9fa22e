// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IAIVMInferenceV2, IChallengeTaskRegistry, IProofVerifier} from "./Interfaces.sol";

/// Says whether a proof holds. Never reverts: what does not hold, or cannot be read, is false.
contract ChallengePayAivmPoiVerifier is IProofVerifier {
    uint16 public constant SCHEMA_VERSION = 1;
    uint8 private constant FINALIZED = 4;

    /// Words of the proof, `abi.encode` of one static tuple.
    uint256 private constant WORDS = 13;

    IAIVMInferenceV2 public immutable aivm;
    IChallengeTaskRegistry public immutable registry;

    struct Claim {
        uint256 requestId;
        bytes32 taskId;
        bytes32 benchmarkHash;
        bytes32 modelDigest;
        bytes32 paramsHash;
    }

    error ZeroAddress();

    constructor(IAIVMInferenceV2 aivm_, IChallengeTaskRegistry registry_) {
        if (address(aivm_) == address(0) || address(registry_) == address(0)) revert ZeroAddress();
        aivm = aivm_;
        registry = registry_;
    }

    function verify(uint256 challengeId, address subject, bytes calldata proof) external view returns (bool) {
        if (proof.length != WORDS * 32) return false;
        if (uint256(_word(proof, 0)) != SCHEMA_VERSION) return false;
        if (uint256(_word(proof, 3)) != challengeId) return false;
        if (uint256(_word(proof, 4)) != uint256(uint160(subject))) return false;
        if (uint256(_word(proof, 5)) != 1) return false;
        Claim memory claim = Claim({
            requestId: uint256(_word(proof, 1)),
            taskId: _word(proof, 2),
            benchmarkHash: _word(proof, 8),
            modelDigest: _word(proof, 11),
            paramsHash: _word(proof, 12)
        });
        return _isBound(challengeId, subject, claim) && _isFinalized(challengeId, claim)
            && aivm.poiAttestationCount(claim.taskId) >= aivm.poiQuorum();
    }

    function _isBound(uint256 challengeId, address subject, Claim memory claim) private view returns (bool) {
        (
            uint256 requestId,
            bytes32 taskId,
            bytes32 modelDigest,
            bytes32 paramsHash,
            bytes32 benchmarkHash,
            uint16 schemaVersion,
            bool exists
        ) = registry.getBinding(challengeId, subject);
        return exists && requestId == claim.requestId && taskId == claim.taskId && modelDigest == claim.modelDigest
            && paramsHash == claim.paramsHash && benchmarkHash == claim.benchmarkHash
            && schemaVersion == SCHEMA_VERSION;
    }

    /// The response names the challenge only, so one request serves all its bound winners.
    function _isFinalized(uint256 challengeId, Claim memory claim) private view returns (bool) {
        (
            ,,
            bytes32 modelDigest,
            bytes32 detConfigHash,
            ,,
            bytes32 taskId,
            ,,,,,
            uint8 status,
            address worker,
            ,,
            bytes32 responseHash,
            ,,
        ) = aivm.requests(claim.requestId);
        return status == FINALIZED && worker != address(0) && taskId == claim.taskId
            && modelDigest == claim.modelDigest && detConfigHash == claim.paramsHash
            && responseHash == expectedResponseHash(challengeId);
    }

    function expectedResponseHash(uint256 challengeId) public pure returns (bytes32) {
        return keccak256(abi.encodePacked('{"challengeId":"', _decimal(challengeId), '","verified":true}'));
    }

    function _word(bytes calldata proof, uint256 index) private pure returns (bytes32) {
        return bytes32(proof[index * 32:index * 32 + 32]);
    }

    function _decimal(uint256 value) private pure returns (bytes memory digits) {
        uint256 length = 1;
        for (uint256 rest = value / 10; rest != 0; rest /= 10) length++;
        digits = new bytes(length);
        for (uint256 i = length; i != 0; i--) {
            digits[i - 1] = bytes1(uint8(48 + value % 10));
            value /= 10;
        }
    }
}
