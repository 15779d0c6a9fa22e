// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// The inference network's contract: a request is committed and revealed by one bonded worker, and
/// attested by validators. It finalizes once it is revealed and a quorum attested the hash of the
/// revealed response.
contract AIVMInferenceV2 {
    enum Status {
        None,
        Requested,
        Committed,
        Revealed,
        Finalized,
        Cancelled,
        TimedOut,
        Disputed
    }

    struct Request {
        address requester;
        string model;
        bytes32 modelDigest;
        bytes32 detConfigHash;
        bytes32 promptHash;
        bytes32 promptId;
        bytes32 taskId;
        uint256 fee;
        uint64 createdAt;
        uint64 commitDeadline;
        uint64 revealDeadline;
        uint64 finalizeDeadline;
        Status status;
        address worker;
        bytes32 commitment;
        uint64 committedAt;
        bytes32 responseHash;
        string response;
        uint64 revealedAt;
        uint64 finalizedAt;
    }

    event InferenceRequestedV2(
        uint256 indexed requestId,
        address indexed requester,
        bytes32 indexed taskId,
        string model,
        bytes32 promptHash,
        bytes32 promptId,
        bytes32 modelDigest,
        bytes32 detConfigHash
    );
    event InferenceCommitted(uint256 indexed requestId, address indexed worker, bytes32 commitment);
    event InferenceRevealed(
        uint256 indexed requestId, address indexed worker, bytes32 responseHash, string response
    );
    event PoIAttested(
        bytes32 indexed taskId,
        address indexed signer,
        uint64 count,
        bytes32 resultHash,
        bytes32 transcriptHash,
        uint64 slot
    );
    event InferenceFinalized(
        uint256 indexed requestId,
        bytes32 indexed taskId,
        address indexed worker,
        bytes32 resultHash,
        uint256 workerPaidWei,
        uint256 protocolFeeWei
    );

    error InvalidParams();
    error InsufficientFee();
    error TooManyPending();
    error NotRequester();
    error NotWorker();
    error NotOwner();
    error WrongStatus();
    error DeadlinePassed();
    error DeadlineNotReached();
    error InsufficientBond();
    error AlreadyFinalized();
    error InvalidSignature();
    error NotActiveValidator();
    error ConflictingPoIResult();
    error Disputed();

    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant ATTESTATION_TYPEHASH =
        keccak256("PoIAttestation(bytes32 taskId,bytes32 resultHash,bytes32 transcriptHash,uint64 slot)");
    /// Half the curve's order: a signature has one form only.
    uint256 private constant MAX_S = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;

    address public owner;
    uint64 public poiQuorum = 2;
    uint64 public commitTimeout = 10 minutes;
    uint64 public revealTimeout = 20 minutes;
    uint64 public finalizeTimeout = 60 minutes;
    uint16 public protocolFeeBps = 500;
    uint256 public minRequestFeeWei = 1e15;
    uint256 public minWorkerBondWei = 1e17;
    uint256 public maxPendingPerRequester = 256;
    uint256 public nextRequestId = 1;

    mapping(uint256 requestId => Request) public requests;
    mapping(bytes32 taskId => uint256 requestId) public requestIdByTaskId;
    mapping(bytes32 taskId => uint64) public poiAttestationCount;
    mapping(bytes32 taskId => bytes32) public poiResultHashByTask;
    mapping(bytes32 taskId => mapping(address validator => bool)) public hasAttested;
    mapping(address => bool) public validators;
    /// Bonds, and what was earned: a worker's pay is added here.
    mapping(address => uint256) public bondOf;
    mapping(address => uint256) public pendingOf;
    /// Requests a worker has committed to and not yet seen through.
    mapping(address => uint256) public openCommitmentsOf;

    modifier onlyOwner() {
        if (msg.sender != owner) revert NotOwner();
        _;
    }

    constructor(address owner_) {
        if (owner_ == address(0)) revert InvalidParams();
        owner = owner_;
    }

    // The requester

    function requestInferenceV2(
        string calldata model,
        bytes32 promptHash,
        bytes32 promptId,
        bytes32 modelDigest,
        bytes32 detConfigHash
    ) external payable returns (uint256 requestId, bytes32 taskId) {
        if (
            bytes(model).length == 0 || promptHash == 0 || promptId == 0 || modelDigest == 0 || detConfigHash == 0
        ) revert InvalidParams();
        if (msg.value < minRequestFeeWei) revert InsufficientFee();
        if (pendingOf[msg.sender] >= maxPendingPerRequester) revert TooManyPending();
        pendingOf[msg.sender] += 1;

        requestId = nextRequestId++;
        taskId = keccak256(abi.encodePacked(block.chainid, address(this), requestId));
        requestIdByTaskId[taskId] = requestId;
        Request storage r = requests[requestId];
        r.requester = msg.sender;
        r.model = model;
        r.modelDigest = modelDigest;
        r.detConfigHash = detConfigHash;
        r.promptHash = promptHash;
        r.promptId = promptId;
        r.taskId = taskId;
        r.fee = msg.value;
        r.createdAt = uint64(block.timestamp);
        // The later two are the latest possible until the step before them is taken.
        r.commitDeadline = r.createdAt + commitTimeout;
        r.revealDeadline = r.commitDeadline + revealTimeout;
        r.finalizeDeadline = r.revealDeadline + finalizeTimeout;
        r.status = Status.Requested;
        emit InferenceRequestedV2(
            requestId, msg.sender, taskId, model, promptHash, promptId, modelDigest, detConfigHash
        );
    }

    /// Nobody committed in time.
    function cancelExpired(uint256 requestId) external {
        Request storage r = _expired(requestId, Status.Requested);
        if (block.timestamp <= r.commitDeadline) revert DeadlineNotReached();
        _refund(r, Status.Cancelled);
    }

    /// The worker committed and did not reveal in time.
    function timeoutReveal(uint256 requestId) external {
        Request storage r = _expired(requestId, Status.Committed);
        if (block.timestamp <= r.revealDeadline) revert DeadlineNotReached();
        openCommitmentsOf[r.worker] -= 1;
        _refund(r, Status.TimedOut);
    }

    /// Revealed, but no quorum in time, or a quorum for something else (Disputed).
    function reclaimAfterFinalizeTimeout(uint256 requestId) external {
        Request storage r = requests[requestId];
        if (r.status != Status.Disputed) r = _expired(requestId, Status.Revealed);
        else if (msg.sender != r.requester) revert NotRequester();
        if (block.timestamp <= r.finalizeDeadline) revert DeadlineNotReached();
        openCommitmentsOf[r.worker] -= 1;
        _refund(r, Status.TimedOut);
    }

    function _expired(uint256 requestId, Status expected) private view returns (Request storage r) {
        r = requests[requestId];
        if (r.status == Status.None) revert WrongStatus();
        if (msg.sender != r.requester) revert NotRequester();
        if (r.status == Status.Finalized) revert AlreadyFinalized();
        if (r.status != expected) revert WrongStatus();
    }

    /// No event tells of it. A requester that cannot receive finds the fee in `bondOf`.
    function _refund(Request storage r, Status status) private {
        r.status = status;
        pendingOf[r.requester] -= 1;
        uint256 fee = r.fee;
        (bool sent,) = r.requester.call{value: fee}("");
        if (!sent) bondOf[r.requester] += fee;
    }

    // The worker

    function depositBond() external payable {
        bondOf[msg.sender] += msg.value;
    }

    /// As long as a commitment is open, the minimum bond stays.
    function withdrawBond(uint256 amount) external {
        uint256 keep = openCommitmentsOf[msg.sender] == 0 ? 0 : minWorkerBondWei;
        if (bondOf[msg.sender] < amount + keep) revert InsufficientBond();
        bondOf[msg.sender] -= amount;
        (bool sent,) = msg.sender.call{value: amount}("");
        if (!sent) revert InvalidParams();
    }

    /// `commitment` = keccak256(abi.encodePacked(requestId, worker, secret, keccak256(response))).
    function commitInference(uint256 requestId, bytes32 commitment) external {
        Request storage r = requests[requestId];
        if (r.status == Status.Disputed) revert Disputed();
        if (r.status != Status.Requested) revert WrongStatus();
        if (block.timestamp > r.commitDeadline) revert DeadlinePassed();
        if (commitment == 0) revert InvalidParams();
        if (bondOf[msg.sender] < minWorkerBondWei) revert InsufficientBond();
        openCommitmentsOf[msg.sender] += 1;
        r.status = Status.Committed;
        r.worker = msg.sender;
        r.commitment = commitment;
        r.committedAt = uint64(block.timestamp);
        r.revealDeadline = r.committedAt + revealTimeout;
        r.finalizeDeadline = r.revealDeadline + finalizeTimeout;
        emit InferenceCommitted(requestId, msg.sender, commitment);
    }

    function revealInference(uint256 requestId, bytes32 secret, string calldata response) external {
        Request storage r = requests[requestId];
        if (r.status == Status.Disputed) revert Disputed();
        if (r.status != Status.Committed) revert WrongStatus();
        if (msg.sender != r.worker) revert NotWorker();
        if (block.timestamp > r.revealDeadline) revert DeadlinePassed();
        bytes32 responseHash = keccak256(bytes(response));
        if (r.commitment != keccak256(abi.encodePacked(requestId, msg.sender, secret, responseHash))) {
            revert InvalidParams();
        }
        r.status = Status.Revealed;
        r.responseHash = responseHash;
        r.response = response;
        r.revealedAt = uint64(block.timestamp);
        r.finalizeDeadline = r.revealedAt + finalizeTimeout;
        emit InferenceRevealed(requestId, msg.sender, responseHash, response);
        _finalizeIfAttested(requestId, r);
    }

    // The validators

    /// Anyone may hand in a validator's signature. The first attestation of a task fixes its
    /// result: another result is ConflictingPoIResult. A signature counts once: handing in a
    /// second one of the same validator is InvalidSignature.
    function submitPoIAttestation(
        bytes32 taskId,
        bytes32 resultHash,
        bytes32 transcriptHash,
        uint64 slot,
        bytes calldata signature
    ) external {
        uint256 requestId = requestIdByTaskId[taskId];
        Request storage r = requests[requestId];
        if (r.status == Status.Finalized) revert AlreadyFinalized();
        if (r.status == Status.Disputed) revert Disputed();
        if (r.status != Status.Committed && r.status != Status.Revealed) revert WrongStatus();
        if (block.timestamp > r.finalizeDeadline) revert DeadlinePassed();
        if (resultHash == 0) revert InvalidParams();
        address signer = _signer(
            keccak256(abi.encode(ATTESTATION_TYPEHASH, taskId, resultHash, transcriptHash, slot)), signature
        );
        if (!validators[signer]) revert NotActiveValidator();
        if (hasAttested[taskId][signer]) revert InvalidSignature();
        bytes32 agreed = poiResultHashByTask[taskId];
        if (agreed == 0) poiResultHashByTask[taskId] = resultHash;
        else if (agreed != resultHash) revert ConflictingPoIResult();

        hasAttested[taskId][signer] = true;
        uint64 count = poiAttestationCount[taskId] + 1;
        poiAttestationCount[taskId] = count;
        emit PoIAttested(taskId, signer, count, resultHash, transcriptHash, slot);
        if (r.status == Status.Revealed) _finalizeIfAttested(requestId, r);
    }

    function domainSeparator() public view returns (bytes32) {
        return keccak256(
            abi.encode(
                DOMAIN_TYPEHASH,
                keccak256("LCAI-PoI-Attestation"),
                keccak256("1"),
                block.chainid,
                address(this)
            )
        );
    }

    function _signer(bytes32 structHash, bytes calldata signature) private view returns (address signer) {
        if (signature.length != 65) revert InvalidSignature();
        bytes32 s = bytes32(signature[32:64]);
        if (uint256(s) > MAX_S) revert InvalidSignature();
        bytes32 digest = keccak256(abi.encodePacked("\x19\x01", domainSeparator(), structHash));
        signer = ecrecover(digest, uint8(signature[64]), bytes32(signature[0:32]), s);
        if (signer == address(0)) revert InvalidSignature();
    }

    /// A quorum for something else than what was revealed makes the request Disputed: it never
    /// finalizes, and its fee comes back through reclaimAfterFinalizeTimeout.
    function _finalizeIfAttested(uint256 requestId, Request storage r) private {
        bytes32 taskId = r.taskId;
        if (poiAttestationCount[taskId] < poiQuorum) return;
        bytes32 resultHash = poiResultHashByTask[taskId];
        if (resultHash != r.responseHash) {
            r.status = Status.Disputed;
            return;
        }
        r.status = Status.Finalized;
        r.finalizedAt = uint64(block.timestamp);
        pendingOf[r.requester] -= 1;
        openCommitmentsOf[r.worker] -= 1;
        uint256 protocolFee = r.fee * protocolFeeBps / 10_000;
        uint256 workerPay = r.fee - protocolFee;
        bondOf[r.worker] += workerPay;
        bondOf[owner] += protocolFee;
        emit InferenceFinalized(requestId, taskId, r.worker, resultHash, workerPay, protocolFee);
    }

    // The owner

    function setValidator(address validator, bool active) external onlyOwner {
        if (validator == address(0)) revert InvalidParams();
        validators[validator] = active;
    }

    function setPoiQuorum(uint64 quorum) external onlyOwner {
        if (quorum == 0) revert InvalidParams();
        poiQuorum = quorum;
    }

    function setTimeouts(uint64 commit, uint64 reveal, uint64 finalize) external onlyOwner {
        if (commit == 0 || reveal == 0 || finalize == 0) revert InvalidParams();
        commitTimeout = commit;
        revealTimeout = reveal;
        finalizeTimeout = finalize;
    }

    function setFees(uint256 minRequestFee, uint16 protocolBps) external onlyOwner {
        if (protocolBps > 10_000) revert InvalidParams();
        minRequestFeeWei = minRequestFee;
        protocolFeeBps = protocolBps;
    }

    function setMinWorkerBond(uint256 bond) external onlyOwner {
        minWorkerBondWei = bond;
    }

    function setMaxPendingPerRequester(uint256 limit) external onlyOwner {
        maxPendingPerRequester = limit;
    }
}
