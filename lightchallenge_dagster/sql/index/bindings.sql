-- pipeline.bindings: the last word of the ChallengeTaskRegistry on each wallet.
with keys as (
    select distinct challenge_id, account as subject
    from touched_logs
    where challenge_id is not null and account is not null
      and event in ('ChallengeTaskRegistry.BindingRecorded', 'ChallengeTaskRegistry.BindingCleared')
),
latest as (
    select distinct on (k.challenge_id, k.subject) k.challenge_id, k.subject, l.*
    from keys k
    join lateral (
        select c.event, c.request_id, c.args, c.tx_hash, c.block_number, c.log_index
        from pipeline.chain_logs c
        where c.chain_id = :chain_id and c.challenge_id = k.challenge_id and c.account = k.subject
          and c.event in ('ChallengeTaskRegistry.BindingRecorded',
                          'ChallengeTaskRegistry.BindingCleared')
    ) l on true
    order by k.challenge_id, k.subject, l.block_number desc, l.log_index desc
),
folded as (
    select challenge_id, subject, request_id, args ->> 'taskId' as task_id,
           args ->> 'modelDigest' as model_digest, args ->> 'paramsHash' as params_hash,
           args ->> 'benchmarkHash' as benchmark_hash,
           (args ->> 'schemaVersion')::integer as schema_version, tx_hash, block_number
    from latest
    where event = 'ChallengeTaskRegistry.BindingRecorded'
),
written as (
    insert into pipeline.bindings as t (
        challenge_id, subject, request_id, task_id, model_digest, params_hash, benchmark_hash,
        schema_version, tx_hash, block_number)
    select * from folded
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
    using keys k
    where t.challenge_id = k.challenge_id and t.subject = k.subject
      and not exists (select 1 from folded f
                      where f.challenge_id = k.challenge_id and f.subject = k.subject)
    returning 1
)
select (select count(*) from written) + (select count(*) from gone)
