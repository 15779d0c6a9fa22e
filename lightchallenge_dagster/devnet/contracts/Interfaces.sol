// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// What the devnet's contracts know of each other, and nothing more.

interface IERC20 {
    function balanceOf(address account) external view returns (uint256);

    function transfer(address to, uint256 amount) external returns (bool);

    function transferFrom(address from, address to, uint256 amount) external returns (bool);
}

interface ITreasury {
    function depositETH(uint256 bucketId) external payable;

    function creditERC20(uint256 bucketId, address token, uint256 amount) external;

    function grantETH(uint256 bucketId, address to, uint256 amount) external;

    function grantERC20(uint256 bucketId, address token, address to, uint256 amount) external;

    function pushETH(uint256 bucketId, address to, uint256 amount) external;

    function pushERC20(uint256 bucketId, address token, address to, uint256 amount) external;
}

interface IProofVerifier {
    function verify(uint256 challengeId, address subject, bytes calldata proof) external view returns (bool);
}

interface IChallengeTaskRegistry {
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
        );
}

interface IAIVMInferenceV2 {
    function poiQuorum() external view returns (uint64);

    function poiAttestationCount(bytes32 taskId) external view returns (uint64);

    function requests(uint256 requestId)
        external
        view
        returns (
            address requester,
            string memory model,
            bytes32 modelDigest,
            bytes32 detConfigHash,
            bytes32 promptHash,
            bytes32 promptId,
            bytes32 taskId,
            uint256 fee,
            uint64 createdAt,
            uint64 commitDeadline,
            uint64 revealDeadline,
            uint64 finalizeDeadline,
            uint8 status,
            address worker,
            bytes32 commitment,
            uint64 committedAt,
            bytes32 responseHash,
            string memory response,
            uint64 revealedAt,
            uint64 finalizedAt
        );
}

interface IChallengePayView {
    struct Challenge {
        uint256 id;
        uint8 kind;
        uint8 status;
        uint8 outcome;
        address creator;
        uint8 currency;
        address token;
        uint256 stake;
        uint256 joinClosesTs;
        uint256 startTs;
        uint256 duration;
        uint256 maxParticipants;
        uint256 pool;
        uint256 participantsCount;
        address verifier;
        uint256 proofDeadlineTs;
        uint32 winnersCount;
        uint256 winnersPool;
        bool paused;
        bool canceled;
        bool payoutsDone;
    }

    function getChallenge(uint256 id) external view returns (Challenge memory);

    function contribOf(uint256 id, address user) external view returns (uint256);

    function isWinner(uint256 id, address user) external view returns (bool);
}
