-- Seasons whose standings are not what their results give, added up here a second way: each decided
-- side of a completed match (a wallet, or everyone on a team's roster; a bye has one side) and each
-- staker of a finalized challenge is one win, draw or loss, worth its points times the
-- competition's weight. Quarantined seasons are left out, and those that wait to be computed.
with seasons as (
    select s.id, s.name,
           case when jsonb_typeof(s.scoring_config -> 'win') = 'number'
                then (s.scoring_config ->> 'win')::numeric else 3 end as win,
           case when jsonb_typeof(s.scoring_config -> 'draw') = 'number'
                then (s.scoring_config ->> 'draw')::numeric else 1 end as draw,
           case when jsonb_typeof(s.scoring_config -> 'loss') = 'number'
                then (s.scoring_config ->> 'loss')::numeric else 0 end as loss
      from public.seasons s
      join pipeline.standings_states t on t.season_id = s.id and t.problem is null
     where s.id::text <> all(cast(:waiting as text[]))
), listed as (
    select distinct s.id as season_id, c.id as competition_id, c.challenge_ids,
           e.weight::text::numeric as weight
      from seasons s
      join public.season_competitions e on e.season_id = s.id
      join public.competitions c on c.id = e.competition_id
), sides as (
    select l.season_id, l.competition_id, l.weight, side.name,
           case when decided.winner is not null
                then case when decided.winner = side.name then 'win' else 'loss' end
                when side.own > side.others then 'win'
                when side.own = side.others then 'draw'
                when side.own < side.others then 'loss' end as outcome
      from listed l
      join public.bracket_matches m
        on m.competition_id = l.competition_id and lower(m.status) = 'completed'
     cross join lateral (select nullif(lower(btrim(m.winner, E' \t\n\r\f\v')), '') as winner) decided
     cross join lateral (
           values (nullif(lower(btrim(m.participant_a, E' \t\n\r\f\v')), ''), m.score_a, m.score_b),
                  (nullif(lower(btrim(m.participant_b, E' \t\n\r\f\v')), ''), m.score_b, m.score_a)
           ) as side (name, own, others)
     where side.name is not null
), players as (
    select distinct team_id::text as team, lower(btrim(wallet, E' \t\n\r\f\v')) as wallet
      from public.team_roster
), entered as (
    select distinct l.season_id, l.competition_id, l.weight, k.challenge_id,
           coalesce(p.mode = 'competitive', false) as competitive
      from listed l
     cross join lateral unnest(l.challenge_ids) as one (challenge_id)
      join pipeline.chain_challenges k
        on k.challenge_id = one.challenge_id and k.status = 'Finalized'
      left join pipeline.challenge_plans p on p.challenge_id = k.challenge_id
), deserving as (
    select r.challenge_id, r.subject, true as competitive
      from public.rankings r
     where r.winner and r.state in ('closed', 'frozen')
       and r.challenge_id in (select challenge_id from entered)
     union
    select v.challenge_id, lower(v.subject), false
      from public.verdicts v
     where v.pass
       and v.challenge_id in (select challenge_id from entered)
), results as (
    select s.season_id, s.competition_id, s.weight, s.name as wallet, s.outcome
      from sides s
     where not exists (select from public.teams t where t.id::text = s.name)
     union all
    select s.season_id, s.competition_id, s.weight, p.wallet, s.outcome
      from sides s
      join players p on p.team = s.name
     union all
    select e.season_id, e.competition_id, e.weight, k.subject,
           case when w.subject is not null and d.subject is not null then 'win' else 'loss' end
      from entered e
      join pipeline.stakes k on k.challenge_id = e.challenge_id and k.amount_wei > 0
      left join pipeline.chain_winners w
        on w.challenge_id = k.challenge_id and w.subject = k.subject
      left join deserving d
        on d.challenge_id = k.challenge_id and d.subject = k.subject
       and d.competitive = e.competitive
), due as (
    select r.season_id, r.wallet,
           count(*) filter (where r.outcome = 'win') as wins,
           count(*) filter (where r.outcome = 'draw') as draws,
           count(*) filter (where r.outcome = 'loss') as losses,
           count(distinct r.competition_id) as competitions_entered,
           round(sum(r.weight * case r.outcome when 'win' then s.win when 'draw' then s.draw
                                               else s.loss end)) as points
      from results r
      join seasons s on s.id = r.season_id
     group by r.season_id, r.wallet
), stored as (
    select o.season_id, o.wallet, o.wins, o.draws, o.losses, o.competitions_entered, o.points
      from public.season_standings o
      join seasons s on s.id = o.season_id
), compared as (
    select coalesce(o.season_id, d.season_id) as season_id, coalesce(o.wallet, d.wallet) as wallet,
           o.wins, o.draws, o.losses, d.wins as due_wins, d.draws as due_draws,
           d.losses as due_losses,
           (o.wins, o.draws, o.losses, o.competitions_entered, o.points) is distinct from
           (d.wins, d.draws, d.losses, d.competitions_entered, d.points) as differs
      from due d
      full join stored o on o.season_id = d.season_id and o.wallet = d.wallet
)
select c.season_id, s.name as season,
       concat_ws(' / ', coalesce(sum(c.wins), 0), coalesce(sum(c.draws), 0),
                 coalesce(sum(c.losses), 0)) as "wins / draws / losses",
       concat_ws(' / ', coalesce(sum(c.due_wins), 0), coalesce(sum(c.due_draws), 0),
                 coalesce(sum(c.due_losses), 0)) as due,
       count(*) filter (where c.differs) as wallets_that_differ,
       min(c.wallet) filter (where c.differs) as one_of_them
  from compared c
  join seasons s on s.id = c.season_id
 group by c.season_id, s.name
having bool_or(c.differs)
 order by s.name, c.season_id
