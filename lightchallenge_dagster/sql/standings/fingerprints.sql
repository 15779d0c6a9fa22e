-- One hash per season over everything its standings are made from. Hashes of rows are added up,
-- which needs no order: a season may have a million matches.
with entries as (
    select sc.season_id, sc.competition_id, sc.weight, c.challenge_ids
      from public.season_competitions sc
      join public.competitions c on c.id = sc.competition_id
     where cast(:season_id as uuid) is null or sc.season_id = :season_id
), matches as (
    select e.season_id, m.id, m.competition_id, m.participant_a, m.participant_b, m.score_a,
           m.score_b, m.winner
      from entries e
      join public.bracket_matches m
        on m.competition_id = e.competition_id and lower(m.status) = 'completed'
), match_hash as (
    select m.season_id, concat_ws(' ', count(*), sum(hashtextextended(
               row(m.id, m.competition_id, m.participant_a, m.participant_b, m.score_a, m.score_b,
                   m.winner)::text, 0)::numeric)) as hash
      from matches m group by m.season_id
), sides as (
    select season_id, lower(btrim(participant_a)) as side from matches
     where length(btrim(participant_a)) = 36
     union
    select season_id, lower(btrim(participant_b)) from matches
     where length(btrim(participant_b)) = 36
), roster_hash as (
    select s.season_id,
           md5(string_agg(concat_ws(' ', t.id, lower(r.wallet)), ','
                          order by t.id, lower(r.wallet) collate "C")) as hash
      from sides s
      join public.teams t on t.id::text = s.side
      left join public.team_roster r on r.team_id = t.id
     group by s.season_id
), finalized as (
    select distinct e.season_id, e.competition_id, k.challenge_id, p.mode
      from entries e
      join pipeline.chain_challenges k
        on k.challenge_id = any(e.challenge_ids) and k.status = 'Finalized'
      left join pipeline.challenge_plans p on p.challenge_id = k.challenge_id
), passes as materialized (
    select o.challenge_id, lower(o.subject) as subject, bool_or(o.pass) as pass
      from public.verdicts o
     where o.challenge_id in (select challenge_id from finalized)
     group by o.challenge_id, lower(o.subject)
), challenge_hash as (
    select f.season_id,
           concat_ws(' ', count(*), sum(hashtextextended(
               row(f.competition_id, f.challenge_id, t.subject,
                   w.subject is not null
                   and case f.mode when 'competitive' then coalesce(r.winner, false)
                            else coalesce(v.pass, false) end)::text, 0)::numeric)) as hash
      from finalized f
      join pipeline.stakes t on t.challenge_id = f.challenge_id and t.amount_wei > 0
      left join pipeline.chain_winners w
        on w.challenge_id = f.challenge_id and w.subject = t.subject
      left join public.rankings r
        on r.challenge_id = f.challenge_id and r.subject = t.subject and r.state <> 'provisional'
      left join passes v on v.challenge_id = f.challenge_id and v.subject = t.subject
     group by f.season_id
), entry_hash as (
    select season_id,
           md5(string_agg(concat_ws(' ', competition_id, weight), ','
                          order by competition_id, weight)) as hash
      from entries group by season_id
)
select s.id as season_id,
       md5(concat_ws('|', s.scoring_config::text, e.hash, 'matches', m.hash, 'rosters', o.hash,
                     'challenges', c.hash)) as inputs_hash
  from public.seasons s
  left join entry_hash e on e.season_id = s.id
  left join match_hash m on m.season_id = s.id
  left join roster_hash o on o.season_id = s.id
  left join challenge_hash c on c.season_id = s.id
 where cast(:season_id as uuid) is null or s.id = :season_id
 order by s.id
