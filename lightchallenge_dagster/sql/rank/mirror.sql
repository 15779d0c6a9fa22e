-- The outcome in the verdicts, for the web app. The wallet's own pass moves to
-- metadata.evaluation, so that a loser's false never looks like a failed evaluation again;
-- metadata.ranking is for those that were ranked. A verdict that money already hangs on is left
-- alone.
with outcome as (
    select v.id, coalesce(r.winner, false) as winner,
           case when r.rank is not null
                then jsonb_build_object('rank', r.rank, 'topN', p.top_n, 'winner', r.winner,
                                        'state', 'closed') end as ranking,
           case when r.winner then '{}'::text[]
                when r.rank is not null
                then array[format('ranked %s of %s; the best %s above 0 win', r.rank, t.ranked, p.top_n)]
                when v.pass then array['not ranked: a score and a stake on chain are needed']
           end as reasons
      from public.verdicts v
      join pipeline.challenge_plans p on p.challenge_id = v.challenge_id
      join pipeline.ranking_states t on t.challenge_id = v.challenge_id
      left join public.rankings r
        on r.challenge_id = v.challenge_id and r.subject = lower(v.subject)
       and r.challenge_id = any(cast(:challenge_ids as bigint[]))
     where v.challenge_id = any(cast(:challenge_ids as bigint[]))
       and not exists (select 1 from pipeline.intents i
                        where i.challenge_id = v.challenge_id and lower(i.subject) = lower(v.subject)
                          and i.kind in ('bind', 'proof'))
       and not (v.pass and exists (
               select 1 from pipeline.chain_winners w
                where w.challenge_id = v.challenge_id and w.subject = lower(v.subject)))
)
update public.verdicts v
   set pass = o.winner, reasons = coalesce(o.reasons, v.reasons), updated_at = now(),
       metadata = coalesce(v.metadata, '{}'::jsonb)
                  || case when o.ranking is null then '{}'::jsonb
                          else jsonb_build_object('ranking', o.ranking) end
                  || jsonb_build_object('evaluation', coalesce(v.metadata -> 'evaluation',
                                                               jsonb_build_object('pass', v.pass)))
  from outcome o
 where v.id = o.id
   and (v.pass <> o.winner
        or v.reasons is distinct from coalesce(o.reasons, v.reasons)
        or v.metadata -> 'ranking' is distinct from coalesce(o.ranking, v.metadata -> 'ranking')
        or v.metadata -> 'evaluation' is null)
