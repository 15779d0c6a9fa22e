-- Everybody in a challenge, or one wallet of it, with everything that says how they stand. The own
-- pass is what the evidence showed: a closed ranking keeps it beside its outcome.
with everybody as (
    select subject from pipeline.stakes where challenge_id = :challenge_id
     union
    select lower(subject) from public.participants where challenge_id = :challenge_id
     union
    select lower(subject) from public.evidence where challenge_id = :challenge_id
     union
    select lower(subject) from public.verdicts where challenge_id = :challenge_id
     union
    select lower(subject) from public.rankings where challenge_id = :challenge_id
     union
    select subject from pipeline.chain_winners where challenge_id = :challenge_id
     union
    select subject from pipeline.bindings where challenge_id = :challenge_id
     union
    select lower(subject) from public.claims where challenge_id = :challenge_id
)
select w.subject, t.amount_wei as stake_wei, to_timestamp(t.joined_ts) as joined_at,
       t.tx_hash as stake_tx, m.source as participant_source, e.evidence_rows, e.providers,
       v.pass as passed, v.score, v.reasons, v.evaluator, v.evidence_hash,
       case when cast(:subject as text) is not null then v.metadata end as metadata,
       v.created_at as verdict_created_at, v.updated_at as judged_at,
       case when v.metadata #> '{evaluation,pass}' in ('true', 'false')
            then v.metadata #> '{evaluation,pass}' = 'true' else v.pass end as own_pass,
       j.final_when, j.submitted_at,
       r.rank, r.score as ranked_score, r.winner, r.tie_break_at, r.top_n,
       b.request_id as bound_request, b.tx_hash as binding_tx, cw.tx_hash as winner_tx,
       cw.subject is not null as chain_winner, total.waiting_wei
  from everybody w
  left join pipeline.stakes t on t.challenge_id = :challenge_id and t.subject = w.subject
  left join lateral (
      select source from public.participants
       where challenge_id = :challenge_id and lower(subject) = w.subject
       limit 1
  ) m on true
  left join lateral (
      select count(*) as evidence_rows,
             array_agg(distinct lower(provider) order by lower(provider)) as providers
        from public.evidence
       where challenge_id = :challenge_id and lower(subject) = w.subject
  ) e on true
  left join lateral (
      select * from public.verdicts
       where challenge_id = :challenge_id and lower(subject) = w.subject
       order by updated_at desc
       limit 1
  ) v on true
  left join pipeline.judgements j on j.challenge_id = :challenge_id and j.subject = w.subject
  left join lateral (
      select * from public.rankings
       where challenge_id = :challenge_id and lower(subject) = w.subject
       order by rank
       limit 1
  ) r on true
  left join pipeline.bindings b on b.challenge_id = :challenge_id and b.subject = w.subject
  left join pipeline.chain_winners cw on cw.challenge_id = :challenge_id and cw.subject = w.subject
  left join pipeline.claim_totals total
    on total.challenge_id = :challenge_id and total.subject = w.subject
 where cast(:subject as text) is null or w.subject = :subject
 order by r.rank, t.amount_wei desc nulls last, w.subject
