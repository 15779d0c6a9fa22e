-- Jobs that have sent nothing yet and whose challenge has ended: on chain, or by the web app's word
-- where the chain has none. The web app may say that it is canceled before any block does.
select j.challenge_id
  from public.aivm_jobs j
  left join public.challenges c on c.id = j.challenge_id
  left join pipeline.chain_challenges k on k.challenge_id = j.challenge_id
 where j.status in ('queued', 'failed', 'processing')
   and (k.status in ('Finalized', 'Canceled')
        or lower(c.status) = 'rejected'
        or (k.challenge_id is null and lower(c.status) in ('finalized', 'canceled')))
 order by j.challenge_id
