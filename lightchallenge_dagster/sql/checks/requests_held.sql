-- Requests that are to be sent and wait: for the limits, for coins, for anything.
select i.challenge_id, i.last_error as waits_for, i.created_at as since
  from pipeline.intents i
 where i.kind = 'request'
   and i.chain_id = :chain_id
   and i.status = 'planned'
   and i.last_error like :like
 order by i.created_at, i.challenge_id
