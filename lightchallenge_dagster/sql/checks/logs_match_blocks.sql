-- A stored log whose block is stored too, under another hash: an orphaned block's log was kept.
select l.block_number, l.log_index, l.block_hash as log_says, b.hash as block_says
  from pipeline.chain_logs l
  join pipeline.chain_blocks b on b.chain_id = l.chain_id and b.number = l.block_number
 where b.hash <> l.block_hash
 order by l.block_number, l.log_index
