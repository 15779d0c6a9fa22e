-- A settled verdict keeps the finality it was settled with; that its evidence was looked at is
-- remembered, or it would be pending for ever.
insert into pipeline.judgements as j
    (challenge_id, subject, inputs_hash, final_when, submitted_at)
select s.challenge_id, s.subject, s.inputs_hash,
       case when s.settled and not :overwrite_settled
            then coalesce(b.final_when, s.final_when) else s.final_when end,
       coalesce(b.submitted_at, s.submitted_at)
  from staged_verdicts s
  left join pipeline.judgements b
    on b.challenge_id = s.challenge_id and b.subject = s.subject
    on conflict (challenge_id, subject) do update
   set inputs_hash = excluded.inputs_hash, final_when = excluded.final_when,
       submitted_at = excluded.submitted_at, judged_at = now()
 where (j.inputs_hash, j.final_when, j.submitted_at)
       is distinct from (excluded.inputs_hash, excluded.final_when, excluded.submitted_at)
