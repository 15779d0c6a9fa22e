delete from pipeline.challenge_plans p
 where p.challenge_id <= 0
    or not exists (select 1 from public.challenges c where c.id = p.challenge_id)
