-- The outcome of a closed ranking stands; the wallet's own pass is kept in metadata.evaluation.
update staged_verdicts
   set pass = winner,
       reasons = case when winner then '{}'::text[]
                      when pass then array['not among the winners of the closed ranking']
                      else reasons end,
       metadata = metadata || jsonb_build_object('evaluation', jsonb_build_object('pass', pass))
 where winner is not null
