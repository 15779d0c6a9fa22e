select block_number, log_index, address, topics[1] as topic, problem
  from pipeline.chain_logs
 where problem is not null
 order by block_number desc, log_index desc
