-- Indexes of pipeline.chain_logs, one for each way in which rows are looked up by their keys:
--   what happened to one wallet in one challenge (stakes, winners, bindings, claims),
--   what became of one challenge (chain_challenges, challenges): few events among many joins,
--   the steps of one inference request, and its attestations by task,
--   the mints of one token,
--   what could not be decoded (a check reads them at each tick).
-- Each holds only the events that are looked up by it: every entry is paid for at each commit,
-- and an index by wallet first is written all over at once. Each begins with the chain, as the
-- look-ups do: before the table's first ANALYZE the planner takes a chain for one of two hundred
-- and would read the whole primary key for it.

create index if not exists chain_logs_subject_idx
    on pipeline.chain_logs (chain_id, challenge_id, account)
    where challenge_id is not null and account is not null;
create index if not exists chain_logs_lifecycle_idx
    on pipeline.chain_logs (chain_id, challenge_id, block_number, log_index)
    where event in ('ChallengePay.ChallengeCreated', 'ChallengePay.VerificationConfigUpdated',
                    'ChallengePay.Finalized', 'ChallengePay.Canceled', 'ChallengePay.Paused');
create index if not exists chain_logs_inference_idx
    on pipeline.chain_logs (chain_id, request_id)
    where event in ('AIVMInferenceV2.InferenceRequestedV2', 'AIVMInferenceV2.InferenceCommitted',
                    'AIVMInferenceV2.InferenceRevealed', 'AIVMInferenceV2.InferenceFinalized');
create index if not exists chain_logs_by_task_idx
    on pipeline.chain_logs (chain_id, (args ->> 'taskId'))
    where event in ('AIVMInferenceV2.InferenceRequestedV2', 'AIVMInferenceV2.PoIAttested');
create index if not exists chain_logs_by_token_idx
    on pipeline.chain_logs (chain_id, (args ->> 'tokenId'))
    where event in ('ChallengeAchievement.AchievementMinted', 'ChallengeAchievement.AdminMinted');
create index if not exists chain_logs_problem_idx
    on pipeline.chain_logs (block_number, log_index) where problem is not null;

drop index if exists pipeline.chain_logs_challenge_idx;
drop index if exists pipeline.chain_logs_account_idx;
drop index if exists pipeline.chain_logs_request_idx;
drop index if exists pipeline.chain_logs_task_idx;
drop index if exists pipeline.chain_logs_token_idx;
