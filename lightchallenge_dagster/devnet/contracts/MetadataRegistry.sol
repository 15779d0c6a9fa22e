// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// Where a challenge's metadata lives. Written once; a correction needs the loud `ownerForceSet`.
contract MetadataRegistry {
    event MetadataSet(
        address indexed challengeContract, uint256 indexed challengeId, address indexed setter, string newUri
    );
    event MetadataForceSet(
        address indexed challengeContract,
        uint256 indexed challengeId,
        address indexed setter,
        string previousUri,
        string newUri
    );
    event MetadataCleared(
        address indexed challengeContract, uint256 indexed challengeId, address indexed clearer
    );

    error NotOwner();
    error EmptyUri();
    error AlreadySet();

    address public immutable owner;
    mapping(address challengeContract => mapping(uint256 challengeId => string)) public uri;

    modifier onlyOwner() {
        if (msg.sender != owner) revert NotOwner();
        _;
    }

    constructor(address owner_) {
        if (owner_ == address(0)) revert NotOwner();
        owner = owner_;
    }

    function ownerSet(address challengeContract, uint256 challengeId, string calldata newUri) external onlyOwner {
        if (bytes(newUri).length == 0) revert EmptyUri();
        if (hasUri(challengeContract, challengeId)) revert AlreadySet();
        uri[challengeContract][challengeId] = newUri;
        emit MetadataSet(challengeContract, challengeId, msg.sender, newUri);
    }

    function ownerForceSet(address challengeContract, uint256 challengeId, string calldata newUri)
        external
        onlyOwner
    {
        if (bytes(newUri).length == 0) revert EmptyUri();
        string memory previousUri = uri[challengeContract][challengeId];
        uri[challengeContract][challengeId] = newUri;
        emit MetadataForceSet(challengeContract, challengeId, msg.sender, previousUri, newUri);
    }

    function ownerClear(address challengeContract, uint256 challengeId) external onlyOwner {
        delete uri[challengeContract][challengeId];
        emit MetadataCleared(challengeContract, challengeId, msg.sender);
    }

    function hasUri(address challengeContract, uint256 challengeId) public view returns (bool) {
        return bytes(uri[challengeContract][challengeId]).length != 0;
    }
}
