-- The first places of some seasons, in the order of the standings.
select s.id::text as season_id, left(s.name, 200) as season, t.problem,
       r.wallets, r.place, r.wallet, r.points, r.wins, r.draws, r.losses, r.competitions_entered
  from public.seasons s
  left join pipeline.standings_states t on t.season_id = s.id
  left join lateral (select o.*, count(*) over () as wallets,
                            row_number() over (order by o.points desc, o.wins desc, o.losses,
                                                        o.wallet collate "C") as place
                       from public.season_standings o
                      where o.season_id = s.id
                      order by place
                      limit :places) r on true
 where s.id::text = any(cast(:seasons as text[]))
 order by s.name, s.id, r.place
