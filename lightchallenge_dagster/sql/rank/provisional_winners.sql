-- Who would win if nothing changed, best first: ranking winners of any state, or passes.
-- Times that no proof can hold are as in settled_winners.
select r.challenge_id, r.subject, r.score, v.evidence_hash,
       least(greatest(v.updated_at, 'epoch'), '9999-12-31 00:00+00') as updated_at,
       r.rank,
       least(greatest(v.created_at, 'epoch'), '9999-12-31 00:00+00') as created_at
  from public.rankings r
  join pipeline.challenge_plans p on p.challenge_id = r.challenge_id and p.mode = 'competitive'
  join pipeline.stakes t
    on t.challenge_id = r.challenge_id and t.subject = r.subject and t.amount_wei > 0
  join public.verdicts v on v.challenge_id = r.challenge_id and lower(v.subject) = r.subject
 where r.winner
   and r.challenge_id = any(cast(:challenge_ids as bigint[]))
 union all
select p.challenge_id, t.subject, v.score, v.evidence_hash,
       least(greatest(v.updated_at, 'epoch'), '9999-12-31 00:00+00'), null,
       least(greatest(v.created_at, 'epoch'), '9999-12-31 00:00+00')
  from pipeline.challenge_plans p
  join pipeline.stakes t on t.challenge_id = p.challenge_id and t.amount_wei > 0
  join public.verdicts v on v.challenge_id = p.challenge_id and lower(v.subject) = t.subject
 where p.mode = 'threshold'
   and v.pass
   and p.challenge_id = any(cast(:challenge_ids as bigint[]))
 order by challenge_id, rank, score desc nulls last, created_at, subject
