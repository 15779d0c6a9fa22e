-- A streak of failures ends after some good answers. A sensor's tick makes only a few calls, so the
-- answers since the last failure are counted from one process to the next.

alter table pipeline.rpc_endpoints
    add column if not exists good_answers integer not null default 0;
