-- The follower met a reorg that it must not undo by itself: deeper than the stored headers, or past
-- a block that was final. The reason names the depth.
select chain_id, block_number as checkpoint, stopped_reason as reason, stopped_at as since
  from pipeline.checkpoints
 where stopped_reason is not null
