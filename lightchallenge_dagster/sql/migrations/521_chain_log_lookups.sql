-- Two events name what they belong to by an argument only: an attestation its task, a mint its
-- token. The projections look them up by it.

create index if not exists chain_logs_task_idx
    on pipeline.chain_logs ((args ->> 'taskId'))
    where event in ('AIVMInferenceV2.InferenceRequestedV2', 'AIVMInferenceV2.PoIAttested');
create index if not exists chain_logs_token_idx
    on pipeline.chain_logs ((args ->> 'tokenId'))
    where event in ('ChallengeAchievement.AchievementMinted', 'ChallengeAchievement.AdminMinted');
