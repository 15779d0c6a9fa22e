-- Requests that can serve nobody any more, and whose fee is not back: what becomes of it. A fee that
-- came back makes no row. One that the network's worker has earned, or that only a stranger can take
-- back, is told for a day.
select w.request_id, w.challenge_id, w.dead as why, w.fee_wei, w.died_at,
       case
           when i.status in ('signed', 'broadcast') then 'on its way back: ' || i.key
           when i.status = 'reverted' then i.key || ' reverted: ' || coalesce(i.last_error, '')
           when i.key is not null
               then 'to be taken back: ' || coalesce(i.last_error, 'by the next run')
           when w.chain_status = 4 then 'earned by the worker that answered'
           else 'only ' || w.requester || ' can take it back'
       end as fee
  from pipeline.request_watch w
  left join lateral (
      select i.key, i.status, i.last_error
        from pipeline.intents i
       where i.kind = 'reclaim' and i.challenge_id = w.challenge_id
         and split_part(i.key, ':', 3) = w.request_id::text
       order by i.created_at desc, i.key desc
       limit 1
  ) i on true
 where w.dead is not null
   and w.fee_wei > 0
   and w.chain_status not in (5, 6)
   and case
           when i.key is not null then i.status not in ('mined', 'confirmed')
           when w.died_at < now() - interval '1 day' then false
           else w.chain_status = 4
                or w.requester not in (select s.address from pipeline.signers s)
       end
 order by w.died_at, w.request_id
