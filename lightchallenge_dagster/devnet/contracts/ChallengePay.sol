// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20, IProofVerifier, ITreasury} from "./Interfaces.sol";

/// Stakes, proofs and payouts of challenges. Stakes go straight to the Treasury; this contract
/// keeps who staked what, who won, and what each may take out.
///
/// Where the protocol's description names an error without saying when it is raised, the choice
/// made here is written at the place that raises it.
contract ChallengePay {
    enum Status {
        Active,
        Finalized,
        Canceled
    }
    enum Outcome {
        None,
        Success,
        Fail
    }
    enum Currency {
        NATIVE,
        ERC20
    }

    struct CreateParams {
        uint8 kind;
        uint8 currency;
        address token;
        uint256 stakeAmount;
        uint256 joinClosesTs;
        uint256 startTs;
        uint256 duration;
        uint256 maxParticipants;
        address verifier;
        uint256 proofDeadlineTs;
        bytes32 externalId;
    }

    struct Challenge {
        uint256 id;
        uint8 kind;
        Status status;
        Outcome outcome;
        address creator;
        Currency currency;
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

    /// All in 1/10000. `forfeitFeeBps` is taken from what losers forfeit after cashback, and is the
    /// sum of the protocol's and the creator's parts.
    struct FeeConfig {
        uint16 forfeitFeeBps;
        uint16 protocolBps;
        uint16 creatorBps;
        uint16 cashbackBps;
    }

    /// What a finalized challenge pays, in 1e18ths of a stake.
    struct Shares {
        uint256 bonusPerWei;
        uint256 cashbackPerWei;
    }

    event ChallengeCreated(
        uint256 indexed id,
        address indexed creator,
        uint8 kind,
        uint8 currency,
        address token,
        uint256 startTs,
        bytes32 externalId
    );
    event Joined(uint256 indexed id, address indexed user, uint256 amount);
    event ParticipantProofSubmitted(
        uint256 indexed id, address indexed participant, address indexed verifier, bool ok
    );
    event WinnerMarked(
        uint256 indexed id, address indexed participant, uint256 contrib, uint256 winnersPool, uint32 winnersCount
    );
    event VerificationConfigUpdated(uint256 indexed id, address verifier, uint256 proofDeadlineTs);
    event Finalized(uint256 indexed id, uint8 status, uint8 outcome);
    event Paused(uint256 indexed id, bool paused);
    event Canceled(uint256 indexed id);
    event FeesBooked(uint256 indexed id, uint256 protocolAmt, uint256 creatorAmt, uint256 cashback);
    event SnapshotSet(uint256 indexed id, bool success);
    event WinnerClaimed(uint256 indexed id, address indexed user, uint256 amount);
    event LoserClaimed(uint256 indexed id, address indexed user, uint256 amount);
    event RefundClaimed(uint256 indexed id, address indexed user, uint256 amount);
    event AutoDistributed(uint256 indexed id, uint256 winnersCount, uint256 losersCount);
    event AutoRefunded(uint256 indexed id, uint256 count);
    event DispatcherSet(address indexed addr, bool enabled);
    event GlobalPaused(bool paused);

    error NotAdmin();
    error ZeroAddress();
    error InvalidBounds();
    error WrongMsgValue();
    error AmountZero();
    error ChallengePaused();
    error StartTooSoon();
    error LeadTimeOutOfBounds();
    error DeadlineRequired();
    error ProofDeadlineBeforeEnd();
    error JoinClosesAfterStart();
    error NotEligible();
    error NotActive();
    error AlreadyCanceled();
    error JoinWindowClosed();
    error MaxParticipantsReached();
    error ProofNotOpen();
    error ProofWindowClosed();
    error AlreadyWinner();
    error AlreadyFinalized();
    error BeforeDeadline();
    error TightenOnlyViolation();
    error GlobalPausedError();
    error ChallengeNotFinalized();
    error NotCreatorOrAdmin();
    error TokenNotAllowed();
    error ExternalIdAlreadyUsed();
    error NotPendingAdmin();

    uint256 private constant BPS = 10_000;
    uint256 private constant SCALE = 1e18;

    ITreasury public immutable treasury;
    address public admin;
    address public pendingAdmin;
    /// Takes the protocol's fees, and everything where nobody won.
    address public protocol;
    bool public globalPaused;
    uint256 public minLeadTime = 60;
    uint256 public maxLeadTime = 365 days;
    /// Ids start at 2.
    uint256 public nextChallengeId = 2;
    FeeConfig public feeConfig;
    /// Upper bounds of forfeit fee and cashback; lowered once, never raised again.
    uint16 public forfeitFeeCapBps = uint16(BPS);
    uint16 public cashbackCapBps = uint16(BPS);

    mapping(address => bool) public dispatchers;
    mapping(address token => bool) public allowedTokens;
    mapping(bytes32 externalId => uint256 id) public challengeIdByExternalId;
    mapping(uint256 id => mapping(address user => uint256)) public contribOf;
    mapping(uint256 id => mapping(address user => bool)) public isWinner;
    mapping(uint256 id => mapping(address user => bool)) public hasClaimed;
    mapping(uint256 id => FeeConfig) public feesOf;
    mapping(uint256 id => Shares) public sharesOf;
    mapping(uint256 id => Challenge) private _challenges;

    modifier onlyAdmin() {
        if (msg.sender != admin) revert NotAdmin();
        _;
    }

    modifier whenNotGloballyPaused() {
        if (globalPaused) revert GlobalPausedError();
        _;
    }

    constructor(ITreasury treasury_, address admin_, address protocol_, FeeConfig memory fees) {
        if (address(treasury_) == address(0) || admin_ == address(0) || protocol_ == address(0)) {
            revert ZeroAddress();
        }
        treasury = treasury_;
        admin = admin_;
        protocol = protocol_;
        _setFees(fees);
    }

    // Creating and joining

    /// The creator's stake is the first join: participant and contribution, but no `Joined`.
    /// A start that is not in the future is StartTooSoon; one whose distance lies outside the
    /// admin's bounds is LeadTimeOutOfBounds.
    function createChallenge(CreateParams calldata p)
        external
        payable
        whenNotGloballyPaused
        returns (uint256 id)
    {
        if (p.verifier == address(0)) revert ZeroAddress();
        if (p.currency > uint8(Currency.ERC20) || p.duration == 0) revert InvalidBounds();
        if (p.stakeAmount == 0) revert AmountZero();
        if (p.startTs <= block.timestamp) revert StartTooSoon();
        uint256 lead = p.startTs - block.timestamp;
        if (lead < minLeadTime || lead > maxLeadTime) revert LeadTimeOutOfBounds();
        if (p.joinClosesTs > p.startTs) revert JoinClosesAfterStart();
        if (p.proofDeadlineTs == 0) revert DeadlineRequired();
        if (p.proofDeadlineTs < p.startTs + p.duration) revert ProofDeadlineBeforeEnd();

        id = nextChallengeId++;
        if (p.externalId != bytes32(0)) {
            if (challengeIdByExternalId[p.externalId] != 0) revert ExternalIdAlreadyUsed();
            challengeIdByExternalId[p.externalId] = id;
        }

        // Written whole: somebody may have finalized this id before it existed.
        Challenge storage c = _challenges[id];
        c.id = id;
        c.kind = p.kind;
        c.status = Status.Active;
        c.outcome = Outcome.None;
        c.creator = msg.sender;
        c.currency = Currency(p.currency);
        c.token = p.token;
        c.stake = p.stakeAmount;
        c.joinClosesTs = p.joinClosesTs == 0 ? p.startTs : p.joinClosesTs;
        c.startTs = p.startTs;
        c.duration = p.duration;
        c.maxParticipants = p.maxParticipants;
        c.verifier = p.verifier;
        c.proofDeadlineTs = p.proofDeadlineTs;
        c.paused = false;
        c.canceled = false;
        c.payoutsDone = false;
        feesOf[id] = feeConfig;

        if (c.currency == Currency.NATIVE) {
            if (p.token != address(0)) revert TokenNotAllowed();
            if (msg.value != p.stakeAmount) revert WrongMsgValue();
        } else {
            if (!allowedTokens[p.token]) revert TokenNotAllowed();
            if (msg.value != 0) revert WrongMsgValue();
        }
        _takeStake(c, p.stakeAmount);
        emit ChallengeCreated(id, msg.sender, p.kind, p.currency, p.token, p.startTs, p.externalId);
    }

    function joinChallengeNative(uint256 id) external payable whenNotGloballyPaused {
        Challenge storage c = _joinable(id);
        if (c.currency != Currency.NATIVE) revert WrongMsgValue();
        _join(c, msg.value);
    }

    function joinChallengeERC20(uint256 id, uint256 amount) external whenNotGloballyPaused {
        Challenge storage c = _joinable(id);
        if (c.currency != Currency.ERC20) revert TokenNotAllowed();
        _join(c, amount);
    }

    function _joinable(uint256 id) private view returns (Challenge storage c) {
        c = _challenges[id];
        if (c.paused) revert ChallengePaused();
        if (c.status != Status.Active) revert NotActive();
        if (block.timestamp >= c.joinClosesTs) revert JoinWindowClosed();
    }

    function _join(Challenge storage c, uint256 amount) private {
        if (amount == 0) revert AmountZero();
        _takeStake(c, amount);
        emit Joined(c.id, msg.sender, amount);
    }

    function _takeStake(Challenge storage c, uint256 amount) private {
        uint256 id = c.id;
        if (contribOf[id][msg.sender] == 0) {
            if (c.maxParticipants != 0 && c.participantsCount >= c.maxParticipants) {
                revert MaxParticipantsReached();
            }
            c.participantsCount += 1;
        }
        contribOf[id][msg.sender] += amount;
        c.pool += amount;
        if (c.currency == Currency.NATIVE) {
            treasury.depositETH{value: amount}(id);
        } else {
            if (!IERC20(c.token).transferFrom(msg.sender, address(treasury), amount)) revert TokenNotAllowed();
            treasury.creditERC20(id, c.token, amount);
        }
    }

    // Proofs

    function submitProofFor(uint256 id, address participant, bytes calldata proof) external whenNotGloballyPaused {
        _onlyDispatcher();
        _submitProof(id, participant, proof);
    }

    /// For any participant, about themselves.
    function submitMyProof(uint256 id, bytes calldata proof) external whenNotGloballyPaused {
        _submitProof(id, msg.sender, proof);
    }

    function submitProofForBatch(uint256 id, address[] calldata participants, bytes[] calldata proofs)
        external
        whenNotGloballyPaused
    {
        _onlyDispatcher();
        if (participants.length != proofs.length) revert InvalidBounds();
        for (uint256 i = 0; i < participants.length; i++) {
            _submitProof(id, participants[i], proofs[i]);
        }
    }

    function _onlyDispatcher() private view {
        if (!dispatchers[msg.sender] && msg.sender != admin) revert NotAdmin();
    }

    /// A proof that does not verify is recorded with ok = false and changes nothing else. That the
    /// participant has already won is noticed only once the proof verifies.
    function _submitProof(uint256 id, address participant, bytes calldata proof) private {
        Challenge storage c = _challenges[id];
        if (c.paused || c.canceled) revert ChallengePaused();
        if (c.status != Status.Active) revert NotActive();
        if (block.timestamp < c.startTs) revert ProofNotOpen();
        if (block.timestamp > c.proofDeadlineTs) revert ProofWindowClosed();
        uint256 contrib = contribOf[id][participant];
        if (contrib == 0) revert NotEligible();

        bool ok = IProofVerifier(c.verifier).verify(id, participant, proof);
        if (ok && isWinner[id][participant]) revert AlreadyWinner();
        emit ParticipantProofSubmitted(id, participant, c.verifier, ok);
        if (!ok) return;

        isWinner[id][participant] = true;
        c.winnersCount += 1;
        c.winnersPool += contrib;
        emit WinnerMarked(id, participant, contrib, c.winnersPool, c.winnersCount);
    }

    // Ends

    /// For anyone, once the challenge has ended and its proof deadline has come. An id that was
    /// never created finalizes too (both its times are 0), with nothing in it.
    function finalize(uint256 id) external whenNotGloballyPaused {
        Challenge storage c = _challenges[id];
        if (c.status == Status.Finalized) revert AlreadyFinalized();
        if (c.status == Status.Canceled) revert AlreadyCanceled();
        if (block.timestamp < c.startTs + c.duration || block.timestamp < c.proofDeadlineTs) {
            revert BeforeDeadline();
        }
        bool success = c.winnersCount > 0;
        c.status = Status.Finalized;
        c.outcome = success ? Outcome.Success : Outcome.Fail;
        c.payoutsDone = true;
        _book(id, c, success);
        emit SnapshotSet(id, success);
        emit Finalized(id, uint8(c.status), uint8(c.outcome));
    }

    function _book(uint256 id, Challenge storage c, bool success) private {
        uint256 losersPool = c.pool - c.winnersPool;
        if (losersPool == 0) return;
        if (!success) {
            // Nobody won: no cashback, no creator's part, all of it is the protocol's.
            _grant(id, c, protocol, losersPool);
            emit FeesBooked(id, losersPool, 0, 0);
            return;
        }
        FeeConfig memory f = feesOf[id];
        uint256 cashback = losersPool * f.cashbackBps / BPS;
        uint256 afterCashback = losersPool - cashback;
        uint256 fees = afterCashback * f.forfeitFeeBps / BPS;
        // Rounding goes to the protocol: the two parts always add up to `fees`.
        uint256 creatorAmt = afterCashback * f.creatorBps / BPS;
        uint256 protocolAmt = fees - creatorAmt;
        sharesOf[id] = Shares({
            bonusPerWei: (afterCashback - fees) * SCALE / c.winnersPool,
            cashbackPerWei: cashback * SCALE / losersPool
        });
        if (protocolAmt != 0) _grant(id, c, protocol, protocolAmt);
        if (creatorAmt != 0) _grant(id, c, c.creator, creatorAmt);
        emit FeesBooked(id, protocolAmt, creatorAmt, cashback);
    }

    /// For the creator or the admin, until somebody has won.
    function cancelChallenge(uint256 id) external whenNotGloballyPaused {
        Challenge storage c = _challenges[id];
        if (msg.sender != c.creator && msg.sender != admin) revert NotCreatorOrAdmin();
        if (c.status == Status.Canceled) revert AlreadyCanceled();
        if (c.status == Status.Finalized) revert AlreadyFinalized();
        if (c.winnersCount != 0) revert AlreadyWinner();
        c.status = Status.Canceled;
        c.canceled = true;
        emit Canceled(id);
    }

    // Claims: each grants an allowance in the Treasury, from where the wallet pulls

    function claimWinner(uint256 id) external whenNotGloballyPaused {
        Challenge storage c = _finalized(id);
        if (!isWinner[id][msg.sender] || hasClaimed[id][msg.sender]) revert NotEligible();
        hasClaimed[id][msg.sender] = true;
        uint256 amount = _winnerAmount(id, msg.sender);
        _grant(id, c, msg.sender, amount);
        emit WinnerClaimed(id, msg.sender, amount);
    }

    /// Cashback; where there is none, nobody is eligible.
    function claimLoser(uint256 id) external whenNotGloballyPaused {
        Challenge storage c = _finalized(id);
        if (isWinner[id][msg.sender] || hasClaimed[id][msg.sender]) revert NotEligible();
        uint256 amount = _loserAmount(id, msg.sender);
        if (amount == 0) revert NotEligible();
        hasClaimed[id][msg.sender] = true;
        _grant(id, c, msg.sender, amount);
        emit LoserClaimed(id, msg.sender, amount);
    }

    /// The whole stake back, after a cancellation only.
    function claimRefund(uint256 id) external whenNotGloballyPaused {
        Challenge storage c = _challenges[id];
        uint256 amount = contribOf[id][msg.sender];
        if (c.status != Status.Canceled || amount == 0 || hasClaimed[id][msg.sender]) revert NotEligible();
        hasClaimed[id][msg.sender] = true;
        _grant(id, c, msg.sender, amount);
        emit RefundClaimed(id, msg.sender, amount);
    }

    /// For anyone: pays the named wallets at once. Who has already claimed is passed over (their
    /// own claim may have come in just before), who is on the wrong list is NotEligible.
    function autoDistribute(uint256 id, address[] calldata winners, address[] calldata losers)
        external
        whenNotGloballyPaused
    {
        Challenge storage c = _finalized(id);
        uint256 paidWinners;
        uint256 paidLosers;
        for (uint256 i = 0; i < winners.length; i++) {
            address user = winners[i];
            if (!isWinner[id][user]) revert NotEligible();
            if (hasClaimed[id][user]) continue;
            hasClaimed[id][user] = true;
            uint256 amount = _winnerAmount(id, user);
            emit WinnerClaimed(id, user, amount);
            _push(id, c, user, amount);
            paidWinners++;
        }
        for (uint256 i = 0; i < losers.length; i++) {
            address user = losers[i];
            if (isWinner[id][user] || contribOf[id][user] == 0) revert NotEligible();
            if (hasClaimed[id][user]) continue;
            hasClaimed[id][user] = true;
            uint256 amount = _loserAmount(id, user);
            emit LoserClaimed(id, user, amount);
            if (amount != 0) _push(id, c, user, amount);
            paidLosers++;
        }
        emit AutoDistributed(id, paidWinners, paidLosers);
    }

    /// For anyone, after a cancellation.
    function autoRefund(uint256 id, address[] calldata participants) external whenNotGloballyPaused {
        Challenge storage c = _challenges[id];
        if (c.status != Status.Canceled) revert NotEligible();
        uint256 count;
        for (uint256 i = 0; i < participants.length; i++) {
            address user = participants[i];
            uint256 amount = contribOf[id][user];
            if (amount == 0) revert NotEligible();
            if (hasClaimed[id][user]) continue;
            hasClaimed[id][user] = true;
            emit RefundClaimed(id, user, amount);
            _push(id, c, user, amount);
            count++;
        }
        emit AutoRefunded(id, count);
    }

    function _finalized(uint256 id) private view returns (Challenge storage c) {
        c = _challenges[id];
        if (c.status != Status.Finalized) revert ChallengeNotFinalized();
    }

    function _winnerAmount(uint256 id, address user) private view returns (uint256) {
        uint256 contrib = contribOf[id][user];
        return contrib + contrib * sharesOf[id].bonusPerWei / SCALE;
    }

    function _loserAmount(uint256 id, address user) private view returns (uint256) {
        return contribOf[id][user] * sharesOf[id].cashbackPerWei / SCALE;
    }

    function _grant(uint256 id, Challenge storage c, address to, uint256 amount) private {
        if (c.currency == Currency.NATIVE) treasury.grantETH(id, to, amount);
        else treasury.grantERC20(id, c.token, to, amount);
    }

    function _push(uint256 id, Challenge storage c, address to, uint256 amount) private {
        if (c.currency == Currency.NATIVE) treasury.pushETH(id, to, amount);
        else treasury.pushERC20(id, c.token, to, amount);
    }

    // The admin's side

    function setDispatcher(address addr, bool enabled) external onlyAdmin {
        if (addr == address(0)) revert ZeroAddress();
        dispatchers[addr] = enabled;
        emit DispatcherSet(addr, enabled);
    }

    function setTokenAllowed(address token, bool allowed) external onlyAdmin {
        if (token == address(0)) revert ZeroAddress();
        allowedTokens[token] = allowed;
    }

    function setProtocol(address protocol_) external onlyAdmin {
        if (protocol_ == address(0)) revert ZeroAddress();
        protocol = protocol_;
    }

    /// Blocks joins and proofs of one challenge, not its finalization.
    function pauseChallenge(uint256 id, bool paused) external onlyAdmin {
        _challenges[id].paused = paused;
        emit Paused(id, paused);
    }

    function pauseAll(bool paused) external onlyAdmin {
        globalPaused = paused;
        emit GlobalPaused(paused);
    }

    /// Moves an active challenge's proof deadline, also later, or gives it another verifier.
    function setVerificationConfig(uint256 id, address verifier, uint256 proofDeadlineTs) external onlyAdmin {
        Challenge storage c = _challenges[id];
        if (verifier == address(0)) revert ZeroAddress();
        if (c.creator == address(0) || c.status != Status.Active) revert NotActive();
        if (proofDeadlineTs == 0) revert DeadlineRequired();
        if (proofDeadlineTs < c.startTs + c.duration) revert ProofDeadlineBeforeEnd();
        c.verifier = verifier;
        c.proofDeadlineTs = proofDeadlineTs;
        emit VerificationConfigUpdated(id, verifier, proofDeadlineTs);
    }

    /// For challenges created from now on.
    function setFeeConfig(FeeConfig calldata fees) external onlyAdmin {
        _setFees(fees);
    }

    function _setFees(FeeConfig memory f) private {
        if (f.forfeitFeeBps > forfeitFeeCapBps || f.cashbackBps > cashbackCapBps) revert InvalidBounds();
        if (uint256(f.protocolBps) + f.creatorBps != f.forfeitFeeBps) revert InvalidBounds();
        feeConfig = f;
    }

    /// The description names TightenOnlyViolation without saying when it is raised. Here it guards
    /// a promise to stakers: fee and cashback caps may be lowered, never raised again.
    function setFeeCaps(uint16 forfeitFeeCap, uint16 cashbackCap) external onlyAdmin {
        if (forfeitFeeCap > forfeitFeeCapBps || cashbackCap > cashbackCapBps) revert TightenOnlyViolation();
        if (feeConfig.forfeitFeeBps > forfeitFeeCap || feeConfig.cashbackBps > cashbackCap) revert InvalidBounds();
        forfeitFeeCapBps = forfeitFeeCap;
        cashbackCapBps = cashbackCap;
    }

    function setLeadTimeBounds(uint256 min, uint256 max) external onlyAdmin {
        if (min > max) revert InvalidBounds();
        minLeadTime = min;
        maxLeadTime = max;
    }

    function transferAdmin(address newAdmin) external onlyAdmin {
        if (newAdmin == address(0)) revert ZeroAddress();
        pendingAdmin = newAdmin;
    }

    function acceptAdmin() external {
        if (msg.sender != pendingAdmin) revert NotPendingAdmin();
        admin = msg.sender;
        pendingAdmin = address(0);
    }

    // Views

    function getChallenge(uint256 id) external view returns (Challenge memory) {
        return _challenges[id];
    }
}
