-- Who works on which AIVM job. The public table stays as documented; lease, heartbeat and fencing
-- token are here. The token grows with every claim of a job, so that a worker that lost its claim
-- writes nothing about the job any more. A claim that was given back expires at -infinity.
create table if not exists pipeline.job_claims (
    challenge_id bigint primary key,
    token        bigint not null,
    worker       text   not null,
    claimed_at   timestamptz not null,
    heartbeat_at timestamptz not null,
    expires_at   timestamptz not null
);

-- What AIVMInferenceV2.requests() said about a challenge's request when it was last read:
-- cancellation and timeouts emit no event. `seen_status` is the indexed status at that moment.
-- `dead` says why it can serve nobody any more; a dead request is never bound to, and its challenge
-- is requested anew.
create table if not exists pipeline.request_watch (
    request_id        numeric(78, 0) primary key,
    challenge_id      bigint   not null,
    task_id           text     not null,
    requester         text     not null,
    fee_wei           numeric(78, 0) not null,
    chain_status      smallint not null,    -- 1 Requested … 4 Finalized, 5 Cancelled, 6 TimedOut, 7 Disputed
    commit_deadline   bigint   not null,    -- epoch seconds; 0 before the stage is reached
    reveal_deadline   bigint   not null,
    finalize_deadline bigint   not null,
    seen_status       text     not null,
    read_at           timestamptz not null default now(),
    dead              text,
    died_at           timestamptz
);
create index if not exists request_watch_challenge_idx on pipeline.request_watch (challenge_id);

-- The chain's head when a transaction was signed: it is replaced when blocks pass it over.
alter table pipeline.transactions add column if not exists signed_block bigint;

-- Two effects never share a nonce. An intent whose nonce a foreign transaction used has none.
create unique index if not exists intents_nonce_uq
    on pipeline.intents (chain_id, signer, nonce) where nonce is not null;
create index if not exists transactions_nonce_idx
    on pipeline.transactions (chain_id, signer, nonce);

-- AIVM jobs that a worker can do something for now. The latest request intent says how far a job
-- came: none, or refused and due again; reverted for good, or its request can never be answered (a
-- new one is needed); mined and not yet noted in the job. One that is in flight is the outbox's.
-- A job in `processing` is free when its claim has expired: its worker died. One that was never
-- claimed here is another program's for a quarter of an hour.
create or replace view pipeline.due_jobs as
select j.id, j.challenge_id, j.created_at
  from public.aivm_jobs j
  join pipeline.chain_challenges k on k.challenge_id = j.challenge_id and k.status = 'Active'
  left join pipeline.job_claims claim on claim.challenge_id = j.challenge_id
  left join lateral (
      select i.key, i.status, i.retry_at,
             exists (select from pipeline.transactions t
                      where t.intent_key = i.key and t.receipt_status = 0) as failing
        from pipeline.intents i
       where i.challenge_id = j.challenge_id and i.kind = 'request'
       order by i.created_at desc
       limit 1
  ) latest on true
  left join pipeline.checkpoints head on head.chain_id = k.chain_id and head.stream = 'live'
  left join pipeline.chain_blocks block
    on block.chain_id = head.chain_id and block.number = head.block_number
 where j.status in ('queued', 'failed', 'processing')
   and coalesce(claim.expires_at <= clock_timestamp(), true)
   and (j.status <> 'processing'
        or claim.challenge_id is not null
        or j.updated_at < now() - interval '15 minutes')
   and (   latest.key is null
        or latest.status = 'reverted'
        or (coalesce(latest.retry_at, '-infinity') <= now()
            and (   latest.status in ('planned', 'refused')
                 or (latest.status in ('mined', 'confirmed') and not latest.failing))))
   -- After the deadline a request is money lost, but one that was made is still noted.
   and (coalesce(block.timestamp, 0) <= k.proof_deadline_ts
        or latest.status in ('mined', 'confirmed'));

-- What challenges.proof says about the request that its taskBinding names: how far the network
-- is, and what its validators attested.
create or replace view pipeline.request_progress as
select task_id,
       jsonb_build_object(
           'verificationStatus', status,
           'poiResultHash', result_hash,
           'poiTranscriptHash', transcript_hash,
           'poiSlot', slot::text,
           'poiAttestationCount', attestations) as patch
  from pipeline.inference_requests;
