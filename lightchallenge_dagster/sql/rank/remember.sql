-- What each ranking was made from, and its state. A quarantined one stays as it was, provisional:
-- nothing is paid from it.
insert into pipeline.ranking_states as t
    (challenge_id, state, inputs_hash, ranked, winners, problem, closed_at)
select s.challenge_id, s.state, s.inputs_hash, s.ranked, s.winners, s.problem,
       case when s.state = 'closed' then now() end
  from staged_states s
    on conflict (challenge_id) do update
   set state = excluded.state, inputs_hash = excluded.inputs_hash, problem = excluded.problem,
       ranked = case when excluded.problem is null then excluded.ranked else t.ranked end,
       winners = case when excluded.problem is null then excluded.winners else t.winners end,
       ranked_at = now(), closed_at = coalesce(t.closed_at, excluded.closed_at)
 where t.state = 'provisional'
   and (t.state, t.inputs_hash, t.problem,
        case when excluded.problem is null then t.ranked end,
        case when excluded.problem is null then t.winners end) is distinct from
       (excluded.state, excluded.inputs_hash, excluded.problem,
        case when excluded.problem is null then excluded.ranked end,
        case when excluded.problem is null then excluded.winners end)
