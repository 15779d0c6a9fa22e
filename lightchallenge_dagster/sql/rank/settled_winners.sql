-- Who may be bound and proved now. Where a ranking has closed it alone decides, whatever the
-- challenge's mode was set to since. A closed ranking whose stored rows are not the ranking that was
-- closed (winners added, removed or without a score) pays nobody. Nor does a pass while the rule
-- cannot be read: where that is the mode, the plan says threshold, and it may be a competition.
-- A verdict of a time that no proof can hold, before 1970 or infinite, is of the nearest that one can:
-- no verifier asks for it.
with sound as (
    select o.challenge_id
      from pipeline.settled_rankings(cast(:challenge_ids as bigint[])) o
     where o.sound
)
select r.challenge_id, r.subject, r.score, v.evidence_hash,
       least(greatest(v.updated_at, 'epoch'), '9999-12-31 00:00+00') as updated_at,
       r.rank
  from sound o
  join public.rankings r on r.challenge_id = o.challenge_id and r.winner
  join pipeline.stakes t
    on t.challenge_id = r.challenge_id and t.subject = r.subject and t.amount_wei > 0
  join public.verdicts v on v.challenge_id = r.challenge_id and lower(v.subject) = r.subject
 union all
select p.challenge_id, t.subject, v.score, v.evidence_hash,
       least(greatest(v.updated_at, 'epoch'), '9999-12-31 00:00+00'), null
  from pipeline.challenge_plans p
  join pipeline.stakes t on t.challenge_id = p.challenge_id and t.amount_wei > 0
  join public.verdicts v on v.challenge_id = p.challenge_id and lower(v.subject) = t.subject
  join pipeline.judgements j on j.challenge_id = p.challenge_id and j.subject = t.subject
 where p.mode = 'threshold'
   and p.problem is null
   and p.challenge_id = any(cast(:challenge_ids as bigint[]))
   and v.pass
   and not exists (select from pipeline.ranking_states s
                    where s.challenge_id = p.challenge_id and s.state in ('closed', 'frozen'))
   and case j.final_when
            when 'now' then true
            when 'ends_at' then p.ends_at <= cast(:chain_now as timestamptz)
            else p.proof_deadline <= cast(:chain_now as timestamptz) end
 order by challenge_id, rank, subject
