insert into pipeline.request_watch as w
    (request_id, challenge_id, task_id, requester, fee_wei, chain_status, commit_deadline,
     reveal_deadline, finalize_deadline, seen_status, read_at, dead, died_at)
values (:request_id, :challenge_id, :task_id, :requester, :fee_wei, :chain_status,
        :commit_deadline, :reveal_deadline, :finalize_deadline, :seen_status, now(),
        cast(:dead as text), case when cast(:dead as text) is not null then now() end)
on conflict (request_id) do update
   set chain_status = excluded.chain_status,
       commit_deadline = excluded.commit_deadline,
       reveal_deadline = excluded.reveal_deadline,
       finalize_deadline = excluded.finalize_deadline,
       seen_status = excluded.seen_status,
       read_at = excluded.read_at,
       dead = excluded.dead,
       died_at = excluded.died_at
 where w.dead is null
returning true
