-- What the checkpoint has to remember beside where it is: the first block ever indexed (START_BLOCK
-- may be set to something else later), the newest block that the chain called final, and why the
-- follower stopped, for whoever asks why nothing moves.

alter table pipeline.checkpoints add column if not exists first_block bigint;
alter table pipeline.checkpoints add column if not exists finalized_number bigint;
alter table pipeline.checkpoints add column if not exists finalized_hash text;
alter table pipeline.checkpoints add column if not exists stopped_reason text;
alter table pipeline.checkpoints add column if not exists stopped_at timestamptz;

-- Indexing begins on a base, the block before the first one; its header is kept for ever. Other
-- empty headers go when they are more than a window (256) behind, so an empty header further back
-- than that is the base, and so is the lowest one of all while no block with logs lies below it.
-- Where there is neither, indexing began with block 0, which has no base.
update pipeline.checkpoints c
set first_block = coalesce(
    (select min(b.number) + 1
     from pipeline.chain_blocks b
     where b.chain_id = c.chain_id and b.log_count = 0
       and (b.number < c.block_number - 256
            or not exists (select 1 from pipeline.chain_blocks o
                           where o.chain_id = b.chain_id and o.number < b.number))),
    case when exists (select 1 from pipeline.chain_blocks b where b.chain_id = c.chain_id)
         then 0 else c.block_number + 1 end)
where first_block is null;

alter table pipeline.checkpoints alter column first_block set not null;
