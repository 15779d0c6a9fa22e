-- Reclaims that reverted for good some time ago, without a later attempt for the same request, whose
-- fee was not back when it was last looked at, some time ago too; and how many attempts it has seen.
select i.key, i.challenge_id, i.signer, i.to_address, i.data, w.request_id,
       (select count(*)
          from pipeline.intents made
         where made.kind = 'reclaim' and made.challenge_id = i.challenge_id
           and split_part(made.key, ':', 3) = split_part(i.key, ':', 3)) as made
  from pipeline.intents i
  join pipeline.request_watch w
    on w.request_id = cast(split_part(i.key, ':', 3) as numeric)
   and w.chain_status not in (5, 6)
   and w.read_at <= now() - make_interval(secs => :after_s)
 where i.chain_id = coalesce(:chain_id, i.chain_id)
   and i.kind = 'reclaim'
   and i.status = 'reverted'
   and i.updated_at <= now() - make_interval(secs => :after_s)
   and not exists (
       select from pipeline.intents later
        where later.kind = 'reclaim' and later.challenge_id = i.challenge_id
          and split_part(later.key, ':', 3) = split_part(i.key, ':', 3)
          and (later.created_at, later.key) > (i.created_at, i.key))
 order by i.updated_at, i.key
