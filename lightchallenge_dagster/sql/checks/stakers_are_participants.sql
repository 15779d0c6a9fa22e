select s.challenge_id, s.subject, s.amount_wei, coalesce(p.source, 'no row') as source
  from pipeline.stakes s
  left join public.participants p
    on p.challenge_id = s.challenge_id and lower(p.subject) = s.subject
 where p.id is null or p.source <> 'onchain_join'
 order by s.challenge_id, s.subject
