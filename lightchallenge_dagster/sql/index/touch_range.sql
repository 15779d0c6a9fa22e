-- Remember which keys the stored logs of a range concern, before they go or after they came.
insert into touched_logs (event, challenge_id, account, request_id, task_id, token_id, tx_hash,
                          orphaned)
select event, challenge_id, account, request_id,
       case when event in ('AIVMInferenceV2.InferenceRequestedV2', 'AIVMInferenceV2.PoIAttested')
            then args ->> 'taskId' end,
       case when event in ('ChallengeAchievement.AchievementMinted',
                           'ChallengeAchievement.AdminMinted')
            then args ->> 'tokenId' end,
       tx_hash, cast(:orphaned as boolean)
from pipeline.chain_logs
where chain_id = :chain_id
  and block_number between :first and :last
  and event = any(cast(:events as text[]))
