-- Whether the task that a challenge names is of a request that is known to be dead.
create index if not exists request_watch_dead_idx
    on pipeline.request_watch (task_id) where dead is not null;
