select p.challenge_id, p.problem
  from pipeline.challenge_plans p
  join public.challenges c on c.id = p.challenge_id
 where p.problem is not null
   and lower(coalesce(c.status, '')) not in ('finalized', 'canceled', 'rejected')
 order by p.challenge_id
