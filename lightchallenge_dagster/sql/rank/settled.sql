-- Closed and frozen rankings of a partition as they are stored.
select r.challenge_id, r.subject, r.rank, r.score, r.winner, r.top_n, t.state, t.ranked, t.winners
  from pipeline.ranking_states t
  join pipeline.challenge_plans p on p.challenge_id = t.challenge_id
  left join public.rankings r on r.challenge_id = t.challenge_id
 where t.state in ('closed', 'frozen')
   and p.partition_key = :partition_key
 order by t.challenge_id, r.rank
