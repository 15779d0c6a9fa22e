-- What the tables say about one challenge as a whole. Its times and rule are read by plan/configs.
select c.id as challenge_id, c.title, c.status, c.chain_outcome,
       lower(coalesce(k.creator, c.subject)) as creator,
       k.status as chain_status, k.outcome as indexed_outcome, k.currency, k.token,
       p.ranking_closes_at,
       s.state as ranking_state, s.ranked, s.winners, s.problem as ranking_problem, s.closed_at,
       j.status as job_status, j.attempts as job_attempts, j.last_error as job_error,
       r.request_id, r.status as request_status,
       final.status as finalize_status, final.last_error as finalize_error,
       head.block_number as indexed_block, to_timestamp(block.timestamp) as indexed_at
  from public.challenges c
  left join pipeline.chain_challenges k on k.challenge_id = c.id
  left join pipeline.challenge_plans p on p.challenge_id = c.id
  left join pipeline.ranking_states s on s.challenge_id = c.id
  left join public.aivm_jobs j on j.challenge_id = c.id
  left join pipeline.inference_requests r
    on r.task_id = lower(coalesce(j.task_id, c.proof #>> '{taskBinding,taskId}'))
  left join lateral (
      select i.status, i.last_error from pipeline.intents i
       where i.challenge_id = c.id and i.kind = 'finalize'
       order by i.created_at desc
       limit 1
  ) final on true
  left join lateral (
      select h.chain_id, h.block_number from pipeline.checkpoints h
       where h.stream = 'live' and (k.chain_id is null or h.chain_id = k.chain_id)
       order by h.updated_at desc
       limit 1
  ) head on true
  left join pipeline.chain_blocks block
    on block.chain_id = head.chain_id and block.number = head.block_number
 where c.id = :challenge_id
