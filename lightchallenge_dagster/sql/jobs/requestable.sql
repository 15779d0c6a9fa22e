-- Jobs a worker can do something for now. The latest request intent says how far it came: none, or
-- refused and due again; reverted for good (a new one is needed); mined and not yet noted in the
-- job. One that is in flight is the outbox's. A job in `processing` is free again when nobody's
-- lease on it lives: its worker died.
select j.challenge_id
  from public.aivm_jobs j
  join pipeline.chain_challenges k on k.challenge_id = j.challenge_id and k.status = 'Active'
  left join lateral (
      select i.key, i.status, i.retry_at,
             exists (select from pipeline.transactions t
                      where t.intent_key = i.key and t.receipt_status = 0) as failing
        from pipeline.intents i
       where i.challenge_id = j.challenge_id and i.kind = 'request'
       order by i.created_at desc
       limit 1
  ) latest on true
  left join pipeline.leases lease
    on lease.name = 'aivm_job:' || j.challenge_id and lease.expires_at > now()
  left join pipeline.checkpoints head on head.chain_id = k.chain_id and head.stream = 'live'
  left join pipeline.chain_blocks block
    on block.chain_id = head.chain_id and block.number = head.block_number
 where j.status in ('queued', 'failed', 'processing')
   and lease.name is null
   and (   latest.key is null
        or latest.status = 'reverted'
        or (coalesce(latest.retry_at, '-infinity') <= now()
            and (   latest.status in ('planned', 'refused')
                 or (latest.status in ('mined', 'confirmed') and not latest.failing))))
   -- After the deadline a request is money lost, but one that was made is still noted.
   and (coalesce(block.timestamp, 0) <= k.proof_deadline_ts
        or latest.status in ('mined', 'confirmed'))
 order by j.created_at, j.challenge_id
