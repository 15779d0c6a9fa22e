-- Logs that the second reading added or dropped in the last day.
select finding, block_number, log_index, event, address, tx_hash, found_at
  from pipeline.verification_findings
 where found_at > now() - interval '1 day'
 order by found_at desc, block_number desc, log_index desc
