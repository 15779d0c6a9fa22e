select o.challenge_id, pipeline.ranking_hash(o.top_n, o.closing, o.entrants, o.entries) as inputs_hash
  from unnest(cast(:challenge_ids as bigint[]), cast(:top_ns as integer[]),
              cast(:closings as boolean[]), cast(:entrants as bigint[]),
              cast(:entries as numeric[])) as o (challenge_id, top_n, closing, entrants, entries)
