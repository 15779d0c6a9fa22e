-- A streak of failures is forgotten a quarter of an hour after the last one: no rest is longer than
-- a third of that, so the endpoint has been asked again since, or nobody needed it.
select fingerprint, range_blocks, range_maximum, range_served, range_refused,
       case when last_error_at > now() - interval '15 minutes' then failures else 0 end as failures,
       good_answers,
       greatest(0, coalesce(extract(epoch from rests_until - now()), 0))::double precision as rest_s
from pipeline.rpc_endpoints
where chain_id = :chain_id
