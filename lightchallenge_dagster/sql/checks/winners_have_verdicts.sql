-- Marked as a winner on chain, and not one by our own verdicts or rankings: the wrong wallet is paid.
select w.challenge_id, w.subject, v.pass, r.rank, r.winner
  from pipeline.chain_winners w
  join pipeline.challenge_plans p on p.challenge_id = w.challenge_id
  left join public.verdicts v on v.challenge_id = w.challenge_id and lower(v.subject) = w.subject
  left join public.rankings r on r.challenge_id = w.challenge_id and r.subject = w.subject
 where case p.mode when 'competitive' then r.winner is not true else v.pass is not true end
 order by w.challenge_id, w.subject
