-- Blocks at which a watermark stands still because the endpoints contradict each other.
select problem_block as block, string_agg(role, ', ' order by role) as contracts, problem,
       min(problem_since) as since
  from pipeline.verified_streams
 where problem is not null
 group by problem_block, problem
 order by problem_block
