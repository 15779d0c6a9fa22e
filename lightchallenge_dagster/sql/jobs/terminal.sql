-- Jobs that have sent nothing yet and whose challenge has ended: on chain, or by the web app's word.
select j.challenge_id
  from public.aivm_jobs j
  left join public.challenges c on c.id = j.challenge_id
  left join pipeline.chain_challenges k on k.challenge_id = j.challenge_id
 where j.status in ('queued', 'failed', 'processing')
   and (k.status in ('Finalized', 'Canceled')
        or lower(c.status) in ('finalized', 'canceled', 'rejected'))
 order by j.challenge_id
