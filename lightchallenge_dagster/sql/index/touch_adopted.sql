-- Keys of rows that the indexer once wrote and that no stored log speaks of any more.
insert into touched_logs (event, challenge_id, account, token_id, orphaned)
select k.event,
       case when a.table_name <> 'achievement_mints' then split_part(row_key, ':', 1)::bigint end,
       nullif(split_part(row_key, ':', 2), ''),
       case when a.table_name = 'achievement_mints' then row_key end,
       true
from pipeline.adopted_rows a
join (values
    ('challenges', '', 'ChallengePay.ChallengeCreated'),
    ('participants', '', 'ChallengePay.Joined'),
    ('achievement_mints', '', 'ChallengeAchievement.AchievementMinted'),
    ('claims', 'winner', 'ChallengePay.WinnerClaimed'),
    ('claims', 'loser', 'ChallengePay.LoserClaimed'),
    ('claims', 'refund', 'ChallengePay.RefundClaimed'),
    ('claims', 'treasury_eth', 'Treasury.ClaimedETH'),
    ('claims', 'principal', 'LegacyChallengePay.PrincipalClaimed'),
    ('claims', 'cashback', 'LegacyChallengePay.CashbackClaimed'),
    ('claims', 'validator_reward', 'LegacyChallengePay.ValidatorClaimed'),
    ('claims', 'validator_reject', 'LegacyChallengePay.ValidatorRejectClaimed'),
    ('claims', 'reject_creator', 'LegacyChallengePay.RejectCreatorClaimed'),
    ('claims', 'reject_contribution', 'LegacyChallengePay.RejectContributionClaimed')
) as k (table_name, claim_type, event)
  on k.table_name = a.table_name and k.claim_type = split_part(a.row_key, ':', 3)
where a.table_name = :table_name
