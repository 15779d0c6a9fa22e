// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IChallengeTaskRegistry} from "./Interfaces.sol";

/// Which inference request speaks for which wallet in which challenge. The verifier knows a
/// subject only through its binding, so a binding is a payment order.
contract ChallengeTaskRegistry is IChallengeTaskRegistry {
    struct Binding {
        uint256 requestId;
        bytes32 taskId;
        bytes32 modelDigest;
        bytes32 paramsHash;
        bytes32 benchmarkHash;
        uint16 schemaVersion;
        bool exists;
    }

    event BindingRecorded(
        uint256 indexed challengeId,
        address indexed subject,
        uint256 requestId,
        bytes32 taskId,
        bytes32 modelDigest,
        bytes32 paramsHash,
        bytes32 benchmarkHash,
        uint16 schemaVersion
    );
    event BindingCleared(uint256 indexed challengeId, address indexed subject);
    event DispatcherSet(address indexed addr, bool enabled);

    error NotAuthorized();
    error InvalidSubject();
    error InvalidTask();
    error InvalidRequestId();
    error InvalidModelDigest();
    error InvalidSchemaVersion();

    address public owner;
    mapping(address => bool) public dispatchers;
    mapping(uint256 challengeId => mapping(address subject => Binding)) private _bindings;

    modifier onlyWriter() {
        if (msg.sender != owner && !dispatchers[msg.sender]) revert NotAuthorized();
        _;
    }

    constructor(address owner_) {
        if (owner_ == address(0)) revert NotAuthorized();
        owner = owner_;
    }

    function setDispatcher(address addr, bool enabled) external {
        if (msg.sender != owner) revert NotAuthorized();
        dispatchers[addr] = enabled;
        emit DispatcherSet(addr, enabled);
    }

    /// Overwrites what was recorded before.
    function recordBinding(
        uint256 challengeId,
        address subject,
        uint256 requestId,
        bytes32 taskId,
        bytes32 modelDigest,
        bytes32 paramsHash,
        bytes32 benchmarkHash,
        uint16 schemaVersion
    ) external onlyWriter {
        if (subject == address(0)) revert InvalidSubject();
        if (requestId == 0) revert InvalidRequestId();
        if (taskId == 0) revert InvalidTask();
        if (modelDigest == 0) revert InvalidModelDigest();
        if (schemaVersion == 0) revert InvalidSchemaVersion();
        _bindings[challengeId][subject] =
            Binding(requestId, taskId, modelDigest, paramsHash, benchmarkHash, schemaVersion, true);
        emit BindingRecorded(
            challengeId, subject, requestId, taskId, modelDigest, paramsHash, benchmarkHash, schemaVersion
        );
    }

    /// Clearing what is not there changes nothing and says nothing.
    function clearBinding(uint256 challengeId, address subject) external onlyWriter {
        if (!_bindings[challengeId][subject].exists) return;
        delete _bindings[challengeId][subject];
        emit BindingCleared(challengeId, subject);
    }

    function getBinding(uint256 challengeId, address subject)
        external
        view
        returns (
            uint256 requestId,
            bytes32 taskId,
            bytes32 modelDigest,
            bytes32 paramsHash,
            bytes32 benchmarkHash,
            uint16 schemaVersion,
            bool exists
        )
    {
        Binding storage b = _bindings[challengeId][subject];
        return
            (b.requestId, b.taskId, b.modelDigest, b.paramsHash, b.benchmarkHash, b.schemaVersion, b.exists);
    }
}
