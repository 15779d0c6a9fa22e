-- Who can be asked about at this moment: (challenge, participant, linked account) of running
-- challenges. A challenge runs from its start to its proof deadline, by the chain's times where
-- they are indexed, else by its own plan; "now" is chain time when the chain is ahead.
with clock as (
    select greatest(
               coalesce(cast(:now as timestamptz), now()),
               (select to_timestamp(timestamp)
                  from pipeline.chain_blocks
                 order by chain_id desc, number desc
                 limit 1)
           ) as now
),
collected as (
    select provider, platform
      from unnest(cast(:providers as text[]), cast(:platforms as text[])) as t (provider, platform)
)
select distinct on (challenge.id, lower(participant.subject), collected.provider)
       challenge.id as challenge_id,
       lower(participant.subject) as subject,
       collected.provider,
       coalesce(nullif(trim(account.external_id), ''), nullif(trim(binding.platform_id), ''))
           as external_id,
       coalesce(to_timestamp(chain.start_ts), plan.starts_at) as starts_at,
       coalesce(to_timestamp(chain.end_ts), plan.ends_at) as ends_at
  from public.challenges as challenge
 cross join clock
  join public.participants as participant on participant.challenge_id = challenge.id
  join public.linked_accounts as account on lower(account.subject) = lower(participant.subject)
  join collected on collected.provider = lower(account.provider)
  left join public.identity_bindings as binding
    on lower(binding.wallet) = lower(participant.subject)
   and lower(binding.platform) = collected.platform
  left join pipeline.chain_challenges as chain on chain.challenge_id = challenge.id
  left join pipeline.challenge_plans as plan on plan.challenge_id = challenge.id
  left join public.models as model on model.id = challenge.model_id
 where challenge.id > 0
   and lower(challenge.status) in ('active', 'approved')
   and coalesce(chain.status, 'Active') = 'Active'
   and clock.now >= coalesce(to_timestamp(chain.start_ts), plan.starts_at, '-infinity')
   and clock.now <= coalesce(
           to_timestamp(nullif(chain.proof_deadline_ts, 0)), to_timestamp(chain.end_ts),
           plan.proof_deadline, plan.ends_at, 'infinity')
   -- A model that lists its sources has no use for any other.
   and case when jsonb_typeof(model.sources) = 'array' and model.sources <> '[]'
            then lower(model.sources::text)::jsonb @> to_jsonb(collected.provider)
            else true end
   and (cast(:partitions as text[]) is null
        or coalesce(plan.partition_key, 'unscheduled') = any(cast(:partitions as text[])))
 order by challenge.id, lower(participant.subject), collected.provider,
          account.updated_at desc, binding.updated_at desc nulls last
