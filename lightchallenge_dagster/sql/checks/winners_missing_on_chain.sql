-- Settled winners with stake whom the contract does not know as winners, while less than an hour
-- is left to prove it, or none. "Now" is chain time: the newest indexed block's. Of a challenge that is
-- finalized they are lost, and shown for a week; of a canceled one nobody wins.
with chain_now as (
    select max(timestamp) as ts from pipeline.chain_blocks
), settled as (
    select r.challenge_id, r.subject
      from public.rankings r
     where r.winner and r.state in ('closed', 'frozen')
    union all
    select v.challenge_id, lower(v.subject)
      from public.verdicts v
      join pipeline.challenge_plans p on p.challenge_id = v.challenge_id and p.mode = 'threshold'
      left join pipeline.judgements j
        on j.challenge_id = v.challenge_id and j.subject = lower(v.subject)
      cross join chain_now n
     where v.pass
       -- An earlier worker's pass that nobody judged since counts as it stands.
       and (coalesce(j.final_when, 'now') = 'now'
            or (j.final_when = 'ends_at' and to_timestamp(n.ts) >= p.ends_at)
            or (j.final_when = 'proof_deadline' and to_timestamp(n.ts) >= p.proof_deadline))
)
select w.challenge_id, w.subject, c.status, to_timestamp(c.proof_deadline_ts) as proof_deadline
  from settled w
  join pipeline.chain_challenges c using (challenge_id)
  join pipeline.stakes s on s.challenge_id = w.challenge_id and s.subject = w.subject
  cross join chain_now n
  left join pipeline.chain_winners m
    on m.challenge_id = w.challenge_id and m.subject = w.subject
 where m.subject is null
   and c.status <> 'Canceled'
   and c.proof_deadline_ts - n.ts < 3600
   and (c.status <> 'Finalized' or n.ts - c.proof_deadline_ts < 7 * 86400)
 order by c.proof_deadline_ts, w.challenge_id, w.subject
