-- Every shape of query that the planner cuts into stages in a way of its own. Each runs on clusters of one, two,
-- three and five workers and must give the rows that plain DataFusion gives over the same data in memory.
--
-- star(id, band, key, flux, n, name): sharded; id dense, band = id % 16, flux and n with NULLs
-- visit(id, star_id, weight): sharded; star_id refers to star.id
-- label(band, text): on the master

-- aggregates without groups
select count(*) from star;
select count(flux), count(n), count(name) from star;
select sum(n), avg(flux), min(id), max(name) from star where band < 5 and flux > 10;
select min(flux), max(flux), sum(flux) from star where id < 0;
select count(distinct n) from star;
select count(distinct n), count(distinct name), sum(flux) from star;
select sum(flux) filter (where n > 500), count(*) filter (where name = 'name-1') from star;
select stddev(flux), var_pop(flux), corr(flux, n) from star;
select bool_and(flux > 0), bool_or(n is null) from star;
select approx_distinct(n) > 900 from star;
select count(*) from (select id from star limit 10) s;
select count(*), sum(id) from (select id from star order by id desc limit 7) s;
select max(c), min(c) from (select key % 100 as k, count(*) as c from star group by 1) s;
select avg(c) from (select band, n % 5 as m, count(*) as c from star group by band, m) s;

-- aggregates with groups
select band, count(*), sum(n), avg(flux) from star group by band;
select key, count(*), sum(flux) from star group by key;
select name, min(flux), max(n) from star group by name;
select band, name, count(*) from star where n is not null group by band, name;
select n, count(*) from star group by n;
select n % 7 as k, sum(flux) from star where name like 'name-1%' group by 1 having count(*) > 3;
select band, count(distinct n), count(distinct name), sum(flux) from star group by band;
select band, median(flux), cardinality(array_agg(id)) from star group by band;
select band, count(*) filter (where flux > 50), sum(flux) filter (where n > 3) from star group by band;
select band, n % 3, count(*) from star group by rollup (band, n % 3);
select band, n % 2, count(*) from star group by grouping sets ((band), (n % 2), ());
select band, max(flux) as m from star group by band order by m desc, band limit 3;
select flux > 50, count(*) from star group by 1;
select distinct band from star;
select distinct band, n % 2 from star where flux > 90;
select distinct on (band) band, id from star order by band, id;

-- rows
select id, flux, name from star order by flux desc nulls last, id limit 10;
select id, flux from star where band = 3 order by id;
select id, band, key, flux, n, name from star;
select id from star order by id limit 5 offset 1000;
select name, id from star where id between 100 and 130 order by name desc, id;
select count(*) from star where flux is null or n is null;
select id from star where name in ('name-3', 'name-7') and n not in (1, 2) order by id limit 20;
select case when flux > 50 then 'bright' when flux is null then 'none' else 'faint' end, id from star where id < 50;
select 1 from star where id < 10;
select count(*) from (select 1 from star, label) s;

-- joins
select star.band, count(*), sum(visit.weight) from star join visit on star.id = visit.star_id group by star.band;
select count(*), count(visit.weight) from star left join visit on star.id = visit.star_id and visit.weight > 100;
select count(*), count(star.id) from star right join visit on star.id = visit.star_id + 50;
select count(*), count(s.id), count(v.star_id) from (select * from star where id % 2 = 0) s full join visit v on s.id = v.star_id;
select count(*) from star where id in (select star_id from visit where weight > 50);
select count(*) from star where id not in (select star_id from visit where weight > 50);
select count(*) from star where exists (select 1 from visit where visit.star_id = star.id and visit.weight > 20);
select count(*) from star where not exists (select 1 from visit where visit.star_id = star.id);
select label.text, count(*), sum(star.flux) from star join label on star.band = label.band group by label.text;
select label.text, count(star.id) from label left join star on star.band = label.band and star.id < 100 group by label.text;
select count(*) from star cross join label;
select count(*) from (select id from star where id < 300) a join (select id from visit where id < 200) b on a.id < b.id;
select count(*) from (select id from star where id < 50) a full join (select id from visit where id < 50) b on a.id < b.id;
select count(*) from star a join star b on a.id = b.id + 1;
select star.band, label.text, count(distinct visit.id) from star join visit on star.id = visit.star_id join label on label.band = star.band group by 1, 2 order by 3 desc, 1 limit 4;
select a.band, a.c, b.c from (select band, count(*) as c from star group by band) a join (select n % 16 as band, count(*) as c from star group by 1) b using (band);
select count(*) from star natural join label;

-- subqueries
select count(*) from star where flux > (select avg(flux) from star);
select (select max(weight) from visit) as m, count(*) from star;
select count(*) from star where flux > (select avg(weight) / 1000 from visit where visit.star_id = star.id);
select label.text, (select max(flux) from star where star.band = label.band) from label;
select label.band, q.m from label, lateral (select max(flux) as m from star where star.band = label.band) q;
select label.band, q.c from label left join lateral (select count(*) as c from star where star.band = label.band and flux > 99) q on true;
with a as (select band, avg(flux) as f from star group by band), b as (select max(f) as m from a) select a.band from a, b where a.f > b.m - 0.5;
with s as (select * from star where id < 100) select (select count(*) from s) as a, (select sum(n) from s) as b, count(*) as c from visit;
select id from star where id = (select min(star_id) from visit) or id = (select max(star_id) from visit);
select * from (select band, count(*) as c from star group by band order by c desc, band limit 4) s order by band;
select count(*) from (select id from star limit 3 offset 2) a, (select id from visit limit 4) b;
select band from star where id in (select star_id from visit order by weight desc, star_id limit 5) order by band;

-- windows
select band, id, row_number() over (partition by band order by id), sum(flux) over (partition by band order by id) from star where id < 400;
select id, row_number() over (order by id) from star where id < 200;
select id, lag(id, 2) over (order by id), first_value(name) over (partition by band order by id) from star where id < 100;
select band, c, rank() over (order by c desc, band) from (select band, count(*) as c from star where flux > 30 group by band) s;
select band, sum(count(*)) over (order by band), avg(sum(n)) over () from star group by band;
select id, avg(flux) over (order by id rows between 3 preceding and 3 following) from star where id < 120;
select * from (select id, band, row_number() over (partition by band order by flux desc nulls last, id) as r from star) s where r <= 2;

-- set operations
select count(*) from (select id from star union all select id from visit) s;
select 'star' as k, count(*) from star union all select 'visit', count(*) from visit;
select count(*) from (select id from star union all values (1), (2)) s;
select id from star where id < 5 union all select count(*) from visit;
(select id from star order by id limit 3) union all (select id from visit order by id desc limit 2);
select count(*) from (select band from star union select band from label) s;
select count(*) from (select id from star intersect select star_id from visit) s;
select count(*) from (select id from star except select star_id from visit) s;
select band, count(*) from (select band from star union all select band from label union all select 3) s group by band;
select count(*) from (select id from star where id < 10 union select count(*) from visit union all select max(id) from star) s;

-- rows of the query itself
select count(*) from star where band not in (select a from (values (1), (2)) v (a));
select count(*) from star join (values (1), (2), (3)) v (a) on star.band = v.a;
select v.a, count(*) from (values (1), (2), (33)) v (a) left join star on star.band = v.a group by v.a;
select v.a, v.b, max(star.flux) from (values (1, 'one'), (2, 'two')) v (a, b) join star on star.band = v.a group by 1, 2;
select g.value, count(*) from generate_series(0, 20) g join star on star.band = g.value group by 1;
select count(*) from star, generate_series(1, 3);
with recursive r(n) as (select 0 union all select n + 1 from r where n < 12) select r.n, count(star.id), sum(star.flux) from r left join star on star.band = r.n group by 1;
with recursive r(n) as (select 0 union all select n + 1 from r where n < 5) select r.n, label.text, count(*) from r join star on star.band = r.n join label on label.band = star.band group by 1, 2;
with recursive r(id, depth) as (select min(id), 1 from star union all select star.id, depth + 1 from r join star on star.id = r.id + 1 where depth < 4) select depth, count(*) from r group by 1;
select count(*) from label;
select label.band, label.text from label order by 1;

-- recursion
with recursive r (n) as (select 1 union all select n + 1 from r where n < 5) select r.n, count(*) from r join star on star.band = r.n group by 1;
with recursive r (id) as (select min(id) from star union all select r.id + 100 from r where r.id < 1000) select count(*) from r join star on star.id = r.id;

-- counting without columns
select count(*) from (select 1 as one from star where flux > 10) s;
select count(*) from (select from_rows.* from (select 1 as x from star) from_rows) s, (select 2 from visit limit 3) t;
