-- Jobs that name another task than the one their own transaction made, or whose row names another
-- transaction. A request's id and task are counted by the contract: mined again after a reorg,
-- behind a stranger's, they are others. And it may be the dearer replacement that was mined again.
-- While the challenge runs: afterwards nothing follows from them.
select j.challenge_id, r.request_id, r.task_id, t.hash as tx_hash, latest.signer as worker
  from pipeline.chain_challenges k
  join public.aivm_jobs j on j.challenge_id = k.challenge_id
  join lateral (
      select i.key, i.signer, i.status
        from pipeline.intents i
       where i.challenge_id = j.challenge_id and i.kind = 'request'
       order by i.created_at desc
       limit 1
  ) latest on latest.status in ('mined', 'confirmed')
  join pipeline.transactions t on t.intent_key = latest.key and t.receipt_status = 1
  join pipeline.inference_requests r
    on r.requested_tx = t.hash and r.requester = latest.signer
  left join public.challenges c
    on c.id = j.challenge_id and jsonb_typeof(coalesce(c.proof, '{}')) = 'object'
 where k.status = 'Active'
   and j.status in ('submitted', 'committed', 'revealed', 'done')
   and (lower(j.task_id) is distinct from r.task_id
        or c.id is not null and c.proof ->> 'requestTxHash' is distinct from t.hash)
 order by j.challenge_id
