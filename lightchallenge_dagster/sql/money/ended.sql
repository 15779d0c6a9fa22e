-- Active, unpaused challenges past their end and their proof deadline, with the last attempt to
-- finalize each. Past them in indexed time too: before that a stake, a winner or a moved deadline
-- may still be unread. `unclosed`: a competition that somebody has earned something in, and whose ranking
-- has not closed, or names a staker who is not a winner on chain. The latter holds also where the
-- ranking is quarantined and so names nobody to pay, and where the rule cannot be read, and so not
-- whether it is a competition: finalizing would forfeit every stake.
select k.challenge_id,
       latest.status as intent_status,
       coalesce(latest.retry_at > now(), false) as waiting,
       latest.block_number,
       coalesce(latest.failing, false) as failing,
       (coalesce(p.mode = 'competitive' or p.problem is not null, false)
        or coalesce(ranking.state, 'provisional') <> 'provisional') and (
           (p.mode = 'competitive'
            and coalesce(ranking.state, 'provisional') = 'provisional'
            and exists (
                select
                  from public.verdicts v
                  join pipeline.stakes s
                    on s.challenge_id = v.challenge_id and s.subject = lower(v.subject)
                   and s.amount_wei > 0
                 where v.challenge_id = k.challenge_id and v.pass and v.score > 0))
           or exists (
                select
                  from public.rankings r
                  join pipeline.stakes s
                    on s.challenge_id = r.challenge_id and s.subject = r.subject
                   and s.amount_wei > 0
                 where r.challenge_id = k.challenge_id and r.winner
                   and not exists (
                       select from pipeline.chain_winners w
                        where w.challenge_id = r.challenge_id and w.subject = r.subject))
       ) as unclosed
  from pipeline.chain_challenges k
  left join pipeline.challenge_plans p on p.challenge_id = k.challenge_id
  left join pipeline.checkpoints head on head.chain_id = k.chain_id and head.stream = 'live'
  left join pipeline.chain_blocks block
    on block.chain_id = head.chain_id and block.number = head.block_number
  left join pipeline.ranking_states ranking on ranking.challenge_id = k.challenge_id
  left join lateral (
      select i.status, i.retry_at, t.block_number, t.receipt_status = 0 as failing
        from pipeline.intents i
        left join pipeline.transactions t on t.intent_key = i.key and t.block_number is not null
       where i.challenge_id = k.challenge_id and i.kind = 'finalize'
       order by i.created_at desc
       limit 1
  ) latest on true
 where k.status = 'Active'
   and greatest(k.end_ts, k.proof_deadline_ts) <= least(:chain_now_ts, block.timestamp)
 order by k.challenge_id
