-- What every tick looks for among all requests ever made: those that are under way, and those of
-- challenges that still run.
create index if not exists inference_requests_tx_idx on pipeline.inference_requests (requested_tx);
create index if not exists inference_requests_open_idx
    on pipeline.inference_requests (request_id) where status <> 'finalized';
create index if not exists chain_challenges_active_idx
    on pipeline.chain_challenges (challenge_id) where status = 'Active';
-- Reclaims that reverted: is one to be tried again?
create index if not exists intents_reverted_refunds_idx
    on pipeline.intents (updated_at) where kind = 'reclaim' and status = 'reverted';
