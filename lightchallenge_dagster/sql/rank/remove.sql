delete from public.rankings r
 where r.challenge_id = any(cast(:challenge_ids as bigint[]))
   and not exists (select 1 from staged_rankings s
                    where s.challenge_id = r.challenge_id and s.subject = r.subject)
