-- Who can be asked about at this moment: (challenge, participant, linked account) of running
-- challenges. A challenge runs from its start to its proof deadline, by the chain's times where
-- they are indexed, else by its own plan; "now" is chain time when the chain is ahead. How long a
-- challenge lasts is its creator's choice, so its times may lie beyond the calendar: they are then
-- the end of the year 9998, as in its plan.
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
       coalesce(chain.starts_at, plan.starts_at) as starts_at,
       coalesce(chain.ends_at, plan.ends_at) as ends_at,
       model.sources
  from public.challenges as challenge
 cross join clock
  join public.participants as participant on participant.challenge_id = challenge.id
  join public.linked_accounts as account on lower(account.subject) = lower(participant.subject)
  join collected on collected.provider = lower(account.provider)
  left join public.identity_bindings as binding
    on lower(binding.wallet) = lower(participant.subject)
   and lower(binding.platform) = collected.platform
  left join lateral (
      select status, to_timestamp(least(start_ts, 253370678400)) as starts_at,
             to_timestamp(least(end_ts, 253370678400)) as ends_at,
             to_timestamp(least(nullif(proof_deadline_ts, 0), 253370678400)) as proof_deadline
        from pipeline.chain_challenges
       where challenge_id = challenge.id
  ) as chain on true
  left join pipeline.challenge_plans as plan on plan.challenge_id = challenge.id
  left join public.models as model
    on model.id = coalesce(nullif(btrim(challenge.proof ->> 'modelId'), ''), challenge.model_id)
 where challenge.id > 0
   and lower(challenge.status) in ('active', 'approved')
   and coalesce(chain.status, 'Active') = 'Active'
   and clock.now >= coalesce(chain.starts_at, plan.starts_at, '-infinity')
   and clock.now <= coalesce(chain.proof_deadline, chain.ends_at, plan.proof_deadline,
                             plan.ends_at, 'infinity')
   and (cast(:partitions as text[]) is null
        or coalesce(plan.partition_key, 'unscheduled') = any(cast(:partitions as text[])))
 order by challenge.id, lower(participant.subject), collected.provider,
          account.updated_at desc, binding.updated_at desc nulls last
