-- pipeline.bindings: the last word of the ChallengeTaskRegistry on each wallet.
with keys as materialized (
    select distinct challenge_id, account as subject
    from touched_logs
    where challenge_id is not null and account is not null
      and event = any(cast(:events as text[]))
),
latest as materialized (
    select k.challenge_id, k.subject, l.request_id, l.args, l.tx_hash, l.block_number,
           coalesce(l.event = 'ChallengeTaskRegistry.BindingRecorded', false) as bound
    from keys k
    left join lateral (
        select event, request_id, args, tx_hash, block_number
        from pipeline.chain_logs
        where chain_id = :chain_id and challenge_id = k.challenge_id and account = k.subject
          and event in ('ChallengeTaskRegistry.BindingRecorded',
                        'ChallengeTaskRegistry.BindingCleared')
        order by block_number desc, log_index desc
        limit 1
    ) l on true
),
written as (
    insert into pipeline.bindings as t (
        challenge_id, subject, request_id, task_id, model_digest, params_hash, benchmark_hash,
        schema_version, tx_hash, block_number)
    select challenge_id, subject, request_id, args ->> 'taskId', args ->> 'modelDigest',
           args ->> 'paramsHash', args ->> 'benchmarkHash', (args ->> 'schemaVersion')::integer,
           tx_hash, block_number
    from latest
    where bound
    on conflict (challenge_id, subject) do update set
        request_id = excluded.request_id, task_id = excluded.task_id,
        model_digest = excluded.model_digest, params_hash = excluded.params_hash,
        benchmark_hash = excluded.benchmark_hash, schema_version = excluded.schema_version,
        tx_hash = excluded.tx_hash, block_number = excluded.block_number
    where (t.*) is distinct from (excluded.*)
    returning 1
),
gone as (
    delete from pipeline.bindings t
    using latest l
    where t.challenge_id = l.challenge_id and t.subject = l.subject and not l.bound
    returning 1
)
select (select count(*) from written) + (select count(*) from gone)
