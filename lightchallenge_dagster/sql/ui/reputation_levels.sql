select level, count(*) as wallets, sum(points) as points
  from public.reputation
 group by level
 order by level
 limit 20
