-- Reclaims that reverted for good some time ago, without a later attempt for the same request, and
-- how many attempts its fee has seen.
select i.key, i.challenge_id, i.signer, i.to_address, i.data, fee.request_id,
       (select count(*)
          from pipeline.intents made
         where made.kind = 'reclaim' and made.challenge_id = i.challenge_id
           and split_part(made.key, ':', 3) = fee.request_id) as made
  from pipeline.intents i
 cross join lateral (select split_part(i.key, ':', 3) as request_id) fee
 where i.chain_id = coalesce(:chain_id, i.chain_id)
   and i.kind = 'reclaim'
   and i.status = 'reverted'
   and i.updated_at <= now() - make_interval(secs => :after_s)
   and i.last_error is distinct from 'its fee is back already'
   and not exists (
       select from pipeline.intents later
        where later.kind = 'reclaim' and later.challenge_id = i.challenge_id
          and split_part(later.key, ':', 3) = fee.request_id
          and (later.created_at, later.key) > (i.created_at, i.key))
 order by i.updated_at, i.key
