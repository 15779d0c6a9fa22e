-- The requests that wait for a retry time, for those who look for one that does not.
create index if not exists intents_waiting_idx
    on pipeline.intents (retry_at) include (challenge_id, created_at)
 where kind = 'request' and status in ('planned', 'refused');
