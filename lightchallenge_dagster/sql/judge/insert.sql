-- What is stored is looked up first: to the planner an empty table costs nothing to read for every
-- row, and it would grow meanwhile.
with stored as materialized (
    select v.challenge_id, lower(v.subject) as subject
      from public.verdicts v
     where v.challenge_id in (select distinct s.challenge_id from staged_verdicts s)
)
insert into public.verdicts
    (challenge_id, subject, pass, reasons, evidence_hash, evaluator, score, metadata, created_at,
     updated_at)
select s.challenge_id, s.subject, s.pass, s.reasons, s.evidence_hash, s.evaluator, s.score,
       s.metadata, s.created_at, now()
  from staged_verdicts s
 where not exists (select 1 from stored v
                    where v.challenge_id = s.challenge_id and v.subject = s.subject)
 order by s.challenge_id, s.subject
    on conflict (challenge_id, subject) do nothing
