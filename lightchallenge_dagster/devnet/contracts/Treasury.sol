// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20, ITreasury} from "./Interfaces.sol";

/// Holds every stake in buckets (bucket id = challenge id). An operator (ChallengePay) deposits,
/// grants allowances and pushes; a wallet with an allowance pulls. Pausing ChallengePay never
/// reaches this contract: what is granted can always be pulled.
contract Treasury is ITreasury {
    bytes32 public constant DEFAULT_ADMIN_ROLE = bytes32(0);
    bytes32 public constant OPERATOR_ROLE = keccak256("OPERATOR_ROLE");

    event ClaimedETH(uint256 indexed bucketId, address indexed to, uint256 amount);
    event ClaimedERC20(uint256 indexed bucketId, address indexed token, address indexed to, uint256 amount);
    event RoleGranted(bytes32 indexed role, address indexed account, address indexed sender);
    event RoleRevoked(bytes32 indexed role, address indexed account, address indexed sender);

    error BadParams();
    error AllowanceTooLow();
    error InsufficientBucketBalance();
    error InsufficientTreasuryBalance();
    /// The recipient, or the token, refused the transfer.
    error TransferFailed();
    error AccessControlUnauthorizedAccount(address account, bytes32 neededRole);

    mapping(bytes32 role => mapping(address account => bool)) public hasRole;
    mapping(uint256 bucketId => uint256) public ethBalanceOf;
    mapping(uint256 bucketId => mapping(address token => uint256)) public erc20BalanceOf;
    mapping(uint256 bucketId => mapping(address account => uint256)) public ethAllowanceOf;
    mapping(uint256 bucketId => mapping(address token => mapping(address account => uint256))) public erc20AllowanceOf;

    constructor(address admin) {
        if (admin == address(0)) revert BadParams();
        _setRole(DEFAULT_ADMIN_ROLE, admin, true);
    }

    modifier onlyRole(bytes32 role) {
        if (!hasRole[role][msg.sender]) revert AccessControlUnauthorizedAccount(msg.sender, role);
        _;
    }

    function grantRole(bytes32 role, address account) external onlyRole(DEFAULT_ADMIN_ROLE) {
        _setRole(role, account, true);
    }

    function revokeRole(bytes32 role, address account) external onlyRole(DEFAULT_ADMIN_ROLE) {
        _setRole(role, account, false);
    }

    // The operator's side

    function depositETH(uint256 bucketId) external payable onlyRole(OPERATOR_ROLE) {
        if (msg.value == 0) revert BadParams();
        ethBalanceOf[bucketId] += msg.value;
    }

    /// Books tokens that the operator has already moved here.
    function creditERC20(uint256 bucketId, address token, uint256 amount) external onlyRole(OPERATOR_ROLE) {
        if (token == address(0) || amount == 0) revert BadParams();
        erc20BalanceOf[bucketId][token] += amount;
    }

    function grantETH(uint256 bucketId, address to, uint256 amount) external onlyRole(OPERATOR_ROLE) {
        if (to == address(0) || amount == 0) revert BadParams();
        ethAllowanceOf[bucketId][to] += amount;
    }

    function grantERC20(uint256 bucketId, address token, address to, uint256 amount)
        external
        onlyRole(OPERATOR_ROLE)
    {
        if (token == address(0) || to == address(0) || amount == 0) revert BadParams();
        erc20AllowanceOf[bucketId][token][to] += amount;
    }

    /// Pays at once. A wallet that cannot receive is granted the amount instead, so that it does
    /// not hold up the others of its batch.
    function pushETH(uint256 bucketId, address to, uint256 amount) external onlyRole(OPERATOR_ROLE) {
        if (to == address(0) || amount == 0) revert BadParams();
        _takeETH(bucketId, amount);
        (bool sent,) = to.call{value: amount}("");
        if (!sent) {
            ethBalanceOf[bucketId] += amount;
            ethAllowanceOf[bucketId][to] += amount;
            return;
        }
        emit ClaimedETH(bucketId, to, amount);
    }

    function pushERC20(uint256 bucketId, address token, address to, uint256 amount)
        external
        onlyRole(OPERATOR_ROLE)
    {
        if (token == address(0) || to == address(0) || amount == 0) revert BadParams();
        _payERC20(bucketId, token, to, amount);
    }

    // The wallets' side

    function claimETH(uint256 bucketId, uint256 amount) external {
        _claimETH(bucketId, msg.sender, amount);
    }

    /// Spends the caller's allowance, pays `to`.
    function claimETHTo(uint256 bucketId, address to, uint256 amount) external {
        _claimETH(bucketId, to, amount);
    }

    function claimERC20(uint256 bucketId, address token, uint256 amount) external {
        _claimERC20(bucketId, token, msg.sender, amount);
    }

    function claimERC20To(uint256 bucketId, address token, address to, uint256 amount) external {
        _claimERC20(bucketId, token, to, amount);
    }

    function _claimETH(uint256 bucketId, address to, uint256 amount) private {
        if (to == address(0) || amount == 0) revert BadParams();
        uint256 allowance = ethAllowanceOf[bucketId][msg.sender];
        if (allowance < amount) revert AllowanceTooLow();
        ethAllowanceOf[bucketId][msg.sender] = allowance - amount;
        _takeETH(bucketId, amount);
        (bool sent,) = to.call{value: amount}("");
        if (!sent) revert TransferFailed();
        emit ClaimedETH(bucketId, to, amount);
    }

    function _claimERC20(uint256 bucketId, address token, address to, uint256 amount) private {
        if (token == address(0) || to == address(0) || amount == 0) revert BadParams();
        uint256 allowance = erc20AllowanceOf[bucketId][token][msg.sender];
        if (allowance < amount) revert AllowanceTooLow();
        erc20AllowanceOf[bucketId][token][msg.sender] = allowance - amount;
        _payERC20(bucketId, token, to, amount);
    }

    function _takeETH(uint256 bucketId, uint256 amount) private {
        if (ethBalanceOf[bucketId] < amount) revert InsufficientBucketBalance();
        if (address(this).balance < amount) revert InsufficientTreasuryBalance();
        ethBalanceOf[bucketId] -= amount;
    }

    function _payERC20(uint256 bucketId, address token, address to, uint256 amount) private {
        if (erc20BalanceOf[bucketId][token] < amount) revert InsufficientBucketBalance();
        if (IERC20(token).balanceOf(address(this)) < amount) revert InsufficientTreasuryBalance();
        erc20BalanceOf[bucketId][token] -= amount;
        if (!IERC20(token).transfer(to, amount)) revert TransferFailed();
        emit ClaimedERC20(bucketId, token, to, amount);
    }

    function _setRole(bytes32 role, address account, bool enabled) private {
        if (hasRole[role][account] == enabled) return;
        hasRole[role][account] = enabled;
        if (enabled) emit RoleGranted(role, account, msg.sender);
        else emit RoleRevoked(role, account, msg.sender);
    }
}
