-- Who is stored as a winner of the partition's closed and frozen rankings; a ranking of nobody has
-- one row without a wallet.
select t.challenge_id, t.state, r.subject
  from pipeline.ranking_states t
  join pipeline.challenge_plans p on p.challenge_id = t.challenge_id
  left join public.rankings r on r.challenge_id = t.challenge_id and r.winner
 where t.state in ('closed', 'frozen')
   and p.partition_key = :partition_key
   and t.challenge_id <> all(cast(:but as bigint[]))
