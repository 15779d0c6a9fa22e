-- Open jobs without progress for over an hour. A job whose request waits is touched with every try,
-- so it is as old as the request that was never signed.
select j.challenge_id, j.status, j.attempts,
       case when latest.status in ('planned', 'refused')
            then least(j.updated_at, latest.created_at) else j.updated_at end as since,
       coalesce(j.last_error, latest.last_error) as last_error
  from public.aivm_jobs j
  left join lateral (
      select i.status, i.created_at, i.last_error
        from pipeline.intents i
       where i.challenge_id = j.challenge_id and i.kind = 'request'
       order by i.created_at desc
       limit 1
  ) latest on j.status in ('queued', 'failed', 'processing')
 where j.status not in ('done', 'canceled', 'dead', 'skipped')
   and case when latest.status in ('planned', 'refused')
            then least(j.updated_at, latest.created_at) else j.updated_at end
       < now() - interval '1 hour'
 order by since
