-- The outcome in the verdicts, for the web app. The wallet's own pass moves to
-- metadata.evaluation, so that a loser's false never looks like a failed evaluation again;
-- metadata.ranking is for those that were ranked. A verdict that money already hangs on is left
-- alone.
with outcome as (
    select v.id, v.pass, v.reasons, v.metadata, r.rank, coalesce(r.winner, false) as winner,
           p.top_n, t.ranked
      from public.verdicts v
      join pipeline.challenge_plans p on p.challenge_id = v.challenge_id
      join pipeline.ranking_states t on t.challenge_id = v.challenge_id
      left join public.rankings r
        on r.challenge_id = v.challenge_id and r.subject = lower(v.subject)
     where v.challenge_id = any(cast(:challenge_ids as bigint[]))
       and not exists (select 1 from pipeline.intents i
                        where i.challenge_id = v.challenge_id and lower(i.subject) = lower(v.subject)
                          and i.kind in ('bind', 'proof'))
       and not (v.pass and exists (
               select 1 from pipeline.chain_winners w
                where w.challenge_id = v.challenge_id and w.subject = lower(v.subject)))
), mirrored as (
    select o.id, o.winner as pass,
           case when o.winner then '{}'::text[]
                when o.rank is not null
                then array[format('ranked %s of %s; the best %s above 0 win', o.rank, o.ranked, o.top_n)]
                when o.pass then array['not ranked: a score and a stake on chain are needed']
                else o.reasons end as reasons,
           coalesce(o.metadata, '{}'::jsonb)
           || case when o.rank is null then '{}'::jsonb
                   else jsonb_build_object('ranking', jsonb_build_object(
                            'rank', o.rank, 'topN', o.top_n, 'winner', o.winner, 'state', 'closed'))
              end
           || jsonb_build_object('evaluation', coalesce(o.metadata -> 'evaluation',
                                                        jsonb_build_object('pass', o.pass)))
           as metadata
      from outcome o
)
update public.verdicts v
   set pass = m.pass, reasons = m.reasons, metadata = m.metadata, updated_at = now()
  from mirrored m
 where v.id = m.id
   and (v.pass, v.reasons, v.metadata) is distinct from (m.pass, m.reasons, m.metadata)
