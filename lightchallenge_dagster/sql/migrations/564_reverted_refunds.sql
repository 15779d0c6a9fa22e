-- Reclaims that reverted, for the look at every tick whether one is to be tried again: few of many.
create index if not exists intents_reverted_refunds_idx
    on pipeline.intents (updated_at) where kind = 'reclaim' and status = 'reverted';
