-- Those of some closed and frozen rankings that pay nobody.
select o.challenge_id, o.state, o.ranked, o.winners, o.stored, o.won, o.due, o.undue, o.misplaced,
       o.altered, o.open
  from pipeline.settled_rankings(cast(:challenge_ids as bigint[])) o
 where not o.sound
 order by o.challenge_id
