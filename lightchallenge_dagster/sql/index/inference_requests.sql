-- pipeline.inference_requests: one row a request, as far as the network has got with it.
-- An attestation names the task only, so it is found by the task of the request.
with keys as materialized (
    select request_id
    from touched_logs
    where request_id is not null and event = any(cast(:events as text[]))
    union
    select l.request_id
    from (select distinct task_id from touched_logs
          where event = 'AIVMInferenceV2.PoIAttested') t
    join pipeline.chain_logs l
      on l.args ->> 'taskId' = t.task_id and l.event = 'AIVMInferenceV2.InferenceRequestedV2'
    where l.chain_id = :chain_id
),
folded as materialized (
    select k.request_id,
           r.args ->> 'taskId' as task_id,
           r.account as requester,
           r.args ->> 'model' as model,
           r.args ->> 'promptHash' as prompt_hash,
           r.args ->> 'promptId' as prompt_id,
           r.args ->> 'modelDigest' as model_digest,
           r.args ->> 'detConfigHash' as det_config_hash,
           case when f.tx_hash is not null then 'finalized'
                when v.tx_hash is not null then 'revealed'
                when c.tx_hash is not null then 'committed'
                else 'requested' end as status,
           coalesce(f.account, v.account, c.account) as worker,
           v.args ->> 'response' as response,
           v.args ->> 'responseHash' as response_hash,
           coalesce(f.args ->> 'resultHash', a.args ->> 'resultHash') as result_hash,
           a.args ->> 'transcriptHash' as transcript_hash,
           (a.args ->> 'slot')::numeric as slot,
           least(coalesce((a.args ->> 'count')::numeric, 0), 2147483647)::integer as attestations,
           r.block_number as requested_block,
           r.tx_hash as requested_tx,
           r.block_timestamp as requested_ts,
           f.block_number as finalized_block
    from keys k
    left join lateral (
        select * from pipeline.chain_logs
        where request_id = k.request_id and event = 'AIVMInferenceV2.InferenceRequestedV2'
          and chain_id = :chain_id
        order by block_number desc, log_index desc limit 1
    ) r on true
    left join lateral (
        select * from pipeline.chain_logs
        where request_id = k.request_id and event = 'AIVMInferenceV2.InferenceCommitted'
          and chain_id = :chain_id
        order by block_number desc, log_index desc limit 1
    ) c on true
    left join lateral (
        select * from pipeline.chain_logs
        where request_id = k.request_id and event = 'AIVMInferenceV2.InferenceRevealed'
          and chain_id = :chain_id
        order by block_number desc, log_index desc limit 1
    ) v on true
    left join lateral (
        select * from pipeline.chain_logs
        where request_id = k.request_id and event = 'AIVMInferenceV2.InferenceFinalized'
          and chain_id = :chain_id
        order by block_number desc, log_index desc limit 1
    ) f on true
    left join lateral (
        select * from pipeline.chain_logs
        where args ->> 'taskId' = r.args ->> 'taskId' and event = 'AIVMInferenceV2.PoIAttested'
          and chain_id = :chain_id
        order by block_number desc, log_index desc limit 1
    ) a on true
),
written as (
    insert into pipeline.inference_requests as t (
        request_id, task_id, requester, model, prompt_hash, prompt_id, model_digest,
        det_config_hash, status, worker, response, response_hash, result_hash, transcript_hash,
        slot, attestations, requested_block, requested_tx, requested_ts, finalized_block)
    select * from folded where requested_tx is not null
    on conflict (request_id) do update set
        task_id = excluded.task_id, requester = excluded.requester, model = excluded.model,
        prompt_hash = excluded.prompt_hash, prompt_id = excluded.prompt_id,
        model_digest = excluded.model_digest, det_config_hash = excluded.det_config_hash,
        status = excluded.status, worker = excluded.worker, response = excluded.response,
        response_hash = excluded.response_hash, result_hash = excluded.result_hash,
        transcript_hash = excluded.transcript_hash, slot = excluded.slot,
        attestations = excluded.attestations, requested_block = excluded.requested_block,
        requested_tx = excluded.requested_tx, requested_ts = excluded.requested_ts,
        finalized_block = excluded.finalized_block
    where (t.*) is distinct from (excluded.*)
    returning 1
),
gone as (
    delete from pipeline.inference_requests t
    using folded f
    where t.request_id = f.request_id and f.requested_tx is null
    returning 1
)
select (select count(*) from written) + (select count(*) from gone)
