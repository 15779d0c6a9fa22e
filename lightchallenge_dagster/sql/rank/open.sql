select o.challenge_id, o.top_n, o.ranking_closes_at, o.ranked_from, o.problem, o.known, o.closing
  from pipeline.open_rankings(:chain_now) o
 where o.partition_key = :partition_key
 order by o.challenge_id
