-- Beside all of shapes.sql, what is asked of tables that have changed: star and visit have got the columns added (with
-- a default) and later (without), lost rows and have others in their tails; fresh has a tail only, and all rows of
-- emptied are deleted.

select count(*), count(added), count(later), sum(added), min(later), max(added) from star;
select added, count(*), avg(flux) from star group by added;
select later, count(*), sum(n) from star group by later;
select added, later, band, count(*) from star group by added, later, band;
select count(*) from star where added = 7 and later is null;
select id, added, later from star where added = 7 and band = 3;
select count(distinct added), count(distinct later) from star;
select min(id), max(id), min(flux), max(name) from star;
select id from star where id > 5990;
select s.later, count(*) from star s join visit v on s.added = v.added and s.id = v.star_id group by 1;
select count(*) from star where later in (select later from visit where weight > 100);
select added, id from star order by added desc, id limit 30;
select count(*) from fresh;
select count(*), sum(weight), min(star_id) from fresh;
select star_id % 3, count(*) from fresh group by 1;
select id, weight from fresh where weight < 20;
select count(*), count(star.id) from fresh left join star on star.id = fresh.star_id;
select count(*) from emptied;
select count(*), max(weight) from emptied;
select weight, count(*) from emptied group by 1;
select * from emptied;
select count(*) from emptied right join fresh on emptied.id = fresh.id;
select id from fresh union all select id from emptied;
