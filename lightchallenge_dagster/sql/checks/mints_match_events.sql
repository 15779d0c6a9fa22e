select l.args ->> 'tokenId' as token_id, l.challenge_id, l.account as recipient,
       m.achievement_type
  from pipeline.chain_logs l
  left join public.achievement_mints m on m.token_id = (l.args ->> 'tokenId')::numeric
 where l.event = 'ChallengeAchievement.AchievementMinted'
   and (m.id is null or lower(m.recipient) <> l.account or m.challenge_id <> l.challenge_id)
 order by l.block_number, l.log_index
