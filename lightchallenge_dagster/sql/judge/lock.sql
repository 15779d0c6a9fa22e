-- Whoever turns a verdict into a transaction locks its row first; wait for them here, so that the
-- next statement sees their intent.
select count(*) from (
    select v.id
      from public.verdicts v
      join staged_verdicts s on s.challenge_id = v.challenge_id and s.subject = lower(v.subject)
     order by v.id
       for update of v
) locked
