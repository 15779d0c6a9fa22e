-- The partition's rankings that may still change. While the rule cannot be read one stays as it was
-- and does not close: how many win, or who passes, is not known, and closing it would be for good.
select o.challenge_id, o.top_n, o.ranking_closes_at, o.ranked_from, o.problem, o.known, o.closing
  from pipeline.open_rankings(:chain_now) o
  join pipeline.challenge_plans p on p.challenge_id = o.challenge_id and p.problem is null
 where o.partition_key = :partition_key
 order by o.challenge_id
