-- Active, unpaused challenges that nothing was requested for yet, and what the gate asks of them.
-- "approved" is the web app's older word for active; whether a challenge is over the chain says. Proof
-- fields are read as text, whatever they
-- are; the gate judges them.
select c.id as challenge_id,
       p.mode,
       p.problem,
       -- Where a ranking has to close before the end, the answer has to be there by then: the network
       -- is asked as long before as it may take (10, 20 and 60 minutes).
       case when extract(epoch from p.ranking_closes_at) < k.end_ts
            then cast(extract(epoch from p.ranking_closes_at) as bigint) - 5400
            else k.end_ts end as end_ts,
       k.proof_deadline_ts,
       coalesce(nullif(c.proof ->> 'modelId', ''), c.model_id) as model_id,
       c.model_hash,
       c.proof ->> 'paramsHash' as params_hash,
       c.proof ->> 'benchmarkHash' as benchmark_hash,
       c.proof ->> 'backend' as backend,
       exists (
           select
             from public.verdicts v
             left join pipeline.stakes s
               on s.challenge_id = v.challenge_id and s.subject = lower(v.subject)
              and s.amount_wei > 0
            where v.challenge_id = c.id
              and v.pass
              and (s.subject is not null or lower(v.subject) = lower(c.subject))
       ) as passed,
       (
           select count(*)
             from public.rankings r
             join pipeline.stakes s
               on s.challenge_id = r.challenge_id and s.subject = r.subject and s.amount_wei > 0
            where r.challenge_id = c.id and r.winner
       ) as provisional_winners
  from public.challenges c
  join pipeline.chain_challenges k on k.challenge_id = c.id and k.status = 'Active'
  join pipeline.challenge_plans p on p.challenge_id = c.id
 where lower(c.status) in ('active', 'approved', 'canceled', 'finalized')
   and c.proof #>> '{taskBinding,requestId}' is null
   and not exists (select from public.aivm_jobs j where j.challenge_id = c.id)
 order by c.id
