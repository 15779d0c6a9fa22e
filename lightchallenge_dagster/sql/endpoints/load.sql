select fingerprint, range_blocks, range_maximum, range_served, range_refused, failures,
       greatest(0, coalesce(extract(epoch from rests_until - now()), 0))::double precision as rest_s
from pipeline.rpc_endpoints
where chain_id = :chain_id
