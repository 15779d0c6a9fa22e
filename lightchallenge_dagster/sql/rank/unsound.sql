-- Closed and frozen rankings of a partition whose stored rows are not the ranking that was closed.
-- settled_winners.sql pays nobody from such a one, by the same conditions.
select t.challenge_id, t.state, t.ranked, t.winners,
       count(r.id) as stored, count(*) filter (where r.winner) as won,
       least(coalesce(max(r.top_n), 0),
             count(*) filter (where r.score > 0 and r.score < 1e19)) as due,
       min(r.subject) filter (where r.winner and (r.rank > r.top_n or r.score is null
                                                  or r.score <= 0 or r.score >= 1e19)) as undue,
       min(r.subject) filter (where r.inputs_hash <> pipeline.ranking_inputs_hash(
           r.subject, r.score, r.tie_break_at, r.top_n)) as altered
  from pipeline.ranking_states t
  join pipeline.challenge_plans p on p.challenge_id = t.challenge_id
  left join public.rankings r on r.challenge_id = t.challenge_id
 where t.state in ('closed', 'frozen')
   and p.partition_key = :partition_key
   and t.challenge_id <> all(cast(:but as bigint[]))
 group by t.challenge_id, t.state, t.ranked, t.winners
having count(r.id) <> t.ranked
    or count(*) filter (where r.winner) <> t.winners
    or t.winners <> least(coalesce(max(r.top_n), 0),
                          count(*) filter (where r.score > 0 and r.score < 1e19))
    or coalesce(bool_or(r.winner and (r.rank > r.top_n or r.score is null or r.score <= 0
                                      or r.score >= 1e19)), false)
    or coalesce(bool_or(r.inputs_hash <> pipeline.ranking_inputs_hash(
           r.subject, r.score, r.tie_break_at, r.top_n)), false)
 order by t.challenge_id
