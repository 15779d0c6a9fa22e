select e.id, e.challenge_id, e.subject, e.provider
  from public.evidence e
  left join public.participants p
    on p.challenge_id = e.challenge_id and lower(p.subject) = lower(e.subject)
 where e.challenge_id <> 0 and p.id is null
 order by e.id
