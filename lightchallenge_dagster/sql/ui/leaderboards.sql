-- The best of the largest rankings of some partitions; `rankings` is how many rankings there are.
with shown as (
    select t.challenge_id, t.state, t.ranked, t.winners, t.problem, left(c.title, 200) as title,
           count(*) over () as rankings
      from pipeline.challenge_plans p
      join pipeline.ranking_states t on t.challenge_id = p.challenge_id
      left join public.challenges c on c.id = p.challenge_id
     where p.partition_key = any(cast(:partitions as text[]))
       and t.ranked > 0
     order by t.ranked desc, t.challenge_id desc
     limit :challenges
)
select s.challenge_id, s.title, s.state, s.ranked, s.winners, s.problem, s.rankings,
       r.rank, r.subject, left(trim_scale(r.score)::text, 40) as score, r.winner,
       to_char(r.tie_break_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.MS') as tie_break_at
  from shown s
  left join lateral (select *
                       from public.rankings o
                      where o.challenge_id = s.challenge_id
                      order by o.rank
                      limit :places) r on true
 order by s.ranked desc, s.challenge_id desc, r.rank
