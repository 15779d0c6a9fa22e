select challenge_id, status, outcome
  from pipeline.chain_challenges
 where (status = 'Finalized') <> (outcome is not null)
 order by challenge_id
