-- Active, unpaused challenges past their end and their proof deadline, with the last attempt to
-- finalize each and whether its ranking names winners without having closed.
select k.challenge_id,
       latest.status as intent_status,
       coalesce(latest.retry_at > now(), false) as waiting,
       latest.block_number,
       coalesce(latest.failing, false) as failing,
       exists (
           select
             from pipeline.ranking_states s
             join public.rankings r on r.challenge_id = s.challenge_id and r.winner
            where s.challenge_id = k.challenge_id and s.state = 'provisional'
       ) as unclosed
  from pipeline.chain_challenges k
  left join lateral (
      select i.status, i.retry_at, t.block_number, t.receipt_status = 0 as failing
        from pipeline.intents i
        left join pipeline.transactions t on t.intent_key = i.key and t.block_number is not null
       where i.challenge_id = k.challenge_id and i.kind = 'finalize'
       order by i.created_at desc
       limit 1
  ) latest on true
 where k.status = 'Active'
   and k.end_ts <= :chain_now_ts
   and k.proof_deadline_ts <= :chain_now_ts
 order by k.challenge_id
