// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IChallengePayView} from "./Interfaces.sol";

/// Soulbound ERC-721 (ERC-5192) for what a wallet did in a finalized challenge: completion (0) for
/// every staker, victory (1) for winners. One of each per wallet and challenge.
contract ChallengeAchievement {
    struct Achievement {
        uint256 challengeId;
        address recipient;
        uint8 aType;
        uint64 mintedAt;
    }

    event AchievementMinted(
        uint256 indexed tokenId, uint256 indexed challengeId, address indexed recipient, uint8 aType
    );
    event AdminMinted(uint256 indexed tokenId, address indexed to, uint256 indexed challengeId);
    event Transfer(address indexed from, address indexed to, uint256 indexed tokenId);
    event Locked(uint256 tokenId);

    error NotAdmin();
    error ZeroAddress();
    error InvalidType();
    error ChallengeNotFinalized();
    error NotEligible();
    error AlreadyMinted();
    error NonexistentToken();
    error Soulbound();

    uint8 public constant COMPLETION = 0;
    uint8 public constant VICTORY = 1;
    string public constant name = "LightChallenge Achievement";
    string public constant symbol = "LCA";

    IChallengePayView public immutable challengePay;
    address public immutable admin;
    uint256 public nextTokenId = 1;
    mapping(address => uint256) public balanceOf;
    mapping(uint256 challengeId => mapping(address => mapping(uint8 aType => uint256 tokenId))) public tokenOf;
    mapping(uint256 tokenId => Achievement) private _achievements;

    constructor(IChallengePayView challengePay_, address admin_) {
        if (address(challengePay_) == address(0) || admin_ == address(0)) revert ZeroAddress();
        challengePay = challengePay_;
        admin = admin_;
    }

    function mintCompletion(uint256 challengeId) external returns (uint256 tokenId) {
        _requireFinalized(challengeId);
        if (challengePay.contribOf(challengeId, msg.sender) == 0) revert NotEligible();
        return _mint(msg.sender, challengeId, COMPLETION);
    }

    function mintVictory(uint256 challengeId) external returns (uint256 tokenId) {
        _requireFinalized(challengeId);
        if (!challengePay.isWinner(challengeId, msg.sender)) revert NotEligible();
        return _mint(msg.sender, challengeId, VICTORY);
    }

    /// For whatever the admin answers for: asks ChallengePay nothing.
    function adminMint(address to, uint256 challengeId, uint8 aType) external returns (uint256 tokenId) {
        if (msg.sender != admin) revert NotAdmin();
        if (to == address(0)) revert ZeroAddress();
        if (aType > VICTORY) revert InvalidType();
        tokenId = _mint(to, challengeId, aType);
        emit AdminMinted(tokenId, to, challengeId);
    }

    function _requireFinalized(uint256 challengeId) private view {
        if (challengePay.getChallenge(challengeId).status != 1) revert ChallengeNotFinalized();
    }

    function _mint(address to, uint256 challengeId, uint8 aType) private returns (uint256 tokenId) {
        if (tokenOf[challengeId][to][aType] != 0) revert AlreadyMinted();
        tokenId = nextTokenId++;
        tokenOf[challengeId][to][aType] = tokenId;
        balanceOf[to] += 1;
        _achievements[tokenId] = Achievement(challengeId, to, aType, uint64(block.timestamp));
        emit Transfer(address(0), to, tokenId);
        emit Locked(tokenId);
        emit AchievementMinted(tokenId, challengeId, to, aType);
    }

    function achievementOf(uint256 tokenId)
        external
        view
        returns (uint256 challengeId, address recipient, uint8 aType, uint64 mintedAt)
    {
        Achievement storage a = _existing(tokenId);
        return (a.challengeId, a.recipient, a.aType, a.mintedAt);
    }

    function ownerOf(uint256 tokenId) external view returns (address) {
        return _existing(tokenId).recipient;
    }

    function locked(uint256 tokenId) external view returns (bool) {
        _existing(tokenId);
        return true;
    }

    function getApproved(uint256 tokenId) external view returns (address) {
        _existing(tokenId);
        return address(0);
    }

    function isApprovedForAll(address, address) external pure returns (bool) {
        return false;
    }

    function approve(address, uint256) external pure {
        revert Soulbound();
    }

    function setApprovalForAll(address, bool) external pure {
        revert Soulbound();
    }

    function transferFrom(address, address, uint256) external pure {
        revert Soulbound();
    }

    function safeTransferFrom(address, address, uint256) external pure {
        revert Soulbound();
    }

    function safeTransferFrom(address, address, uint256, bytes calldata) external pure {
        revert Soulbound();
    }

    /// ERC-165, ERC-721 and ERC-5192.
    function supportsInterface(bytes4 id) external pure returns (bool) {
        return id == 0x01ffc9a7 || id == 0x80ac58cd || id == 0xb45a3c0e;
    }

    function _existing(uint256 tokenId) private view returns (Achievement storage a) {
        a = _achievements[tokenId];
        if (a.recipient == address(0)) revert NonexistentToken();
    }
}
