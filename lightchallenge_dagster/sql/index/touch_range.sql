-- Remember which keys the stored logs of a range concern, before they go or after they came.
insert into touched_logs (event, challenge_id, account, request_id, task_id, token_id, orphaned)
select distinct event, challenge_id, account, request_id, args ->> 'taskId', args ->> 'tokenId',
       cast(:orphaned as boolean)
from pipeline.chain_logs
where chain_id = :chain_id
  and block_number between :first and :last
  and event is not null
