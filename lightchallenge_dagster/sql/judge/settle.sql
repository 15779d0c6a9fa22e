-- Which staged verdicts must leave the stored one alone: a binding or proof was ordered for the
-- wallet, it is bound or won on chain by a pass, or its ranking is closed. And for a wallet that a
-- closed ranking leaves out: it did not win, whatever its own evidence says.
update staged_verdicts s
   set settled = exists (
           select 1 from public.verdicts v
            where v.challenge_id = s.challenge_id and lower(v.subject) = s.subject
              and (exists (select 1 from pipeline.intents i
                            where i.challenge_id = s.challenge_id and lower(i.subject) = s.subject
                              and i.kind in ('bind', 'proof'))
                   or (v.pass and exists (select 1 from pipeline.bindings b
                                           where b.challenge_id = s.challenge_id
                                             and b.subject = s.subject))
                   or (v.pass and exists (select 1 from pipeline.chain_winners w
                                           where w.challenge_id = s.challenge_id
                                             and w.subject = s.subject))
                   or r.challenge_id is not null)),
       ranked = r.challenge_id is not null,
       winner = case when t.challenge_id is not null then coalesce(r.winner, false) end
  from staged_verdicts o
  left join pipeline.ranking_states t
    on t.challenge_id = o.challenge_id and t.state in ('closed', 'frozen')
  left join public.rankings r
    on r.challenge_id = t.challenge_id and r.subject = o.subject
 where o.challenge_id = s.challenge_id and o.subject = s.subject
   and (t.challenge_id is not null
        or exists (select 1 from public.verdicts v
                    where v.challenge_id = s.challenge_id and lower(v.subject) = s.subject))
