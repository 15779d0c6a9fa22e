-- Indexes of pipeline.chain_logs, one for each way in which rows are looked up by their keys:
--   what happened to one wallet in one challenge (stakes, winners, bindings, claims),
--   what became of one challenge (chain_challenges, challenges): few events among many joins,
--   the steps of one inference request, and its attestations by task,
--   the mints of one token.
-- Each holds only the events that are looked up by it: every entry is paid for at each commit,
-- and an index by wallet first is written all over at once.

create index if not exists chain_logs_subject_idx
    on pipeline.chain_logs (challenge_id, account)
    where challenge_id is not null and account is not null;
create index if not exists chain_logs_lifecycle_idx
    on pipeline.chain_logs (challenge_id)
    where event in ('ChallengePay.ChallengeCreated', 'ChallengePay.VerificationConfigUpdated',
                    'ChallengePay.Finalized', 'ChallengePay.Canceled', 'ChallengePay.Paused');
create index if not exists chain_logs_inference_idx
    on pipeline.chain_logs (request_id)
    where event in ('AIVMInferenceV2.InferenceRequestedV2', 'AIVMInferenceV2.InferenceCommitted',
                    'AIVMInferenceV2.InferenceRevealed', 'AIVMInferenceV2.InferenceFinalized');
create index if not exists chain_logs_problem_idx
    on pipeline.chain_logs (block_number, log_index) where problem is not null;
drop index if exists pipeline.chain_logs_challenge_idx;
drop index if exists pipeline.chain_logs_account_idx;
drop index if exists pipeline.chain_logs_request_idx;
