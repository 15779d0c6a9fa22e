-- pipeline.inference_requests: one row a request, as far as the network has got with it.
-- An attestation names the task only, so it is found by the task of the request.
with keys as (
    select request_id
    from touched_logs
    where request_id is not null
      and event in ('AIVMInferenceV2.InferenceRequestedV2', 'AIVMInferenceV2.InferenceCommitted',
                    'AIVMInferenceV2.InferenceRevealed', 'AIVMInferenceV2.InferenceFinalized')
    union
    select l.request_id
    from touched_logs t
    join pipeline.chain_logs l
      on l.args ->> 'taskId' = t.task_id and l.event = 'AIVMInferenceV2.InferenceRequestedV2'
    where t.event = 'AIVMInferenceV2.PoIAttested' and l.chain_id = :chain_id
),
events as (
    select k.request_id, l.event, l.block_number, l.log_index, l.block_timestamp, l.tx_hash,
           l.account, l.args
    from keys k
    join pipeline.chain_logs l on l.request_id = k.request_id and l.chain_id = :chain_id
    where l.event in (
        'AIVMInferenceV2.InferenceRequestedV2', 'AIVMInferenceV2.InferenceCommitted',
        'AIVMInferenceV2.InferenceRevealed', 'AIVMInferenceV2.InferenceFinalized')
),
latest as (
    select distinct on (request_id, event) *
    from events
    order by request_id, event, block_number desc, log_index desc
),
attested as (
    select distinct on (r.request_id) r.request_id, l.args
    from latest r
    join pipeline.chain_logs l
      on l.args ->> 'taskId' = r.args ->> 'taskId' and l.event = 'AIVMInferenceV2.PoIAttested'
     and l.chain_id = :chain_id
    where r.event = 'AIVMInferenceV2.InferenceRequestedV2'
    order by r.request_id, l.block_number desc, l.log_index desc
),
folded as (
    select r.request_id,
           r.args ->> 'taskId' as task_id,
           r.account as requester,
           r.args ->> 'model' as model,
           r.args ->> 'promptHash' as prompt_hash,
           r.args ->> 'promptId' as prompt_id,
           r.args ->> 'modelDigest' as model_digest,
           r.args ->> 'detConfigHash' as det_config_hash,
           case when f.request_id is not null then 'finalized'
                when v.request_id is not null then 'revealed'
                when c.request_id is not null then 'committed'
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
    from latest r
    left join latest c
      on c.request_id = r.request_id and c.event = 'AIVMInferenceV2.InferenceCommitted'
    left join latest v
      on v.request_id = r.request_id and v.event = 'AIVMInferenceV2.InferenceRevealed'
    left join latest f
      on f.request_id = r.request_id and f.event = 'AIVMInferenceV2.InferenceFinalized'
    left join attested a on a.request_id = r.request_id
    where r.event = 'AIVMInferenceV2.InferenceRequestedV2'
),
written as (
    insert into pipeline.inference_requests as t (
        request_id, task_id, requester, model, prompt_hash, prompt_id, model_digest,
        det_config_hash, status, worker, response, response_hash, result_hash, transcript_hash,
        slot, attestations, requested_block, requested_tx, requested_ts, finalized_block)
    select * from folded
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
    using keys k
    where t.request_id = k.request_id
      and not exists (select 1 from folded f where f.request_id = k.request_id)
    returning 1
)
select (select count(*) from written) + (select count(*) from gone)
