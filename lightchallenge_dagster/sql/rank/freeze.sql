with frozen as (
    update pipeline.ranking_states
       set state = 'frozen', frozen_at = now()
     where challenge_id = :challenge_id and state = 'closed'
    returning challenge_id
)
update public.rankings r
   set state = 'frozen', updated_at = now()
  from frozen f
 where r.challenge_id = f.challenge_id
