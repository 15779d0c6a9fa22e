-- Collected or uploaded a quarter of an hour ago and still not judged.
select e.id, e.challenge_id, e.subject, e.provider, e.created_at
  from public.evidence e
  left join public.verdicts v
    on v.challenge_id = e.challenge_id and lower(v.subject) = lower(e.subject)
 where v.id is null
   and e.created_at < now() - interval '15 minutes'
 order by e.created_at
