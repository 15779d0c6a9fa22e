-- A binding is a payment order: whoever is bound and no winner could still be paid.
select b.challenge_id, b.subject, b.request_id, v.pass, r.rank, r.winner
  from pipeline.bindings b
  join pipeline.challenge_plans p on p.challenge_id = b.challenge_id
  left join public.verdicts v on v.challenge_id = b.challenge_id and lower(v.subject) = b.subject
  left join public.rankings r on r.challenge_id = b.challenge_id and r.subject = b.subject
 where case p.mode when 'competitive' then r.winner is not true else v.pass is not true end
 order by b.challenge_id, b.subject
