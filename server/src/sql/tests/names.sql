select count(*), count(x), sum(k), round(x), coalesce(k, 1), case when f then 1 end from t group by x, k, f order by 1, 2, 3, 4 limit 1
select 1, 'a', 1 + 1, a.id::text, '1'::int, -a.k, not a.f, a.k is null from t a where id = 1
select (select max(k) from t), (select max(k) as m from t), exists (select 1), array[1, 2]
select x.count from (select count(*) from t) x
select "?column?" from (select 1) x
select count from (select count(*), count(x) as n from t) q
with c as (select sum(k) from t) select sum from c
select id, id from t where id = 1
select *, id from u where uid = 1
select t.k, u.k from t join u on t.k = u.k where t.id = 1
select extract(year from d), date_part('year', d), position('a' in g), substring(g from 1), trim(g) from t where id = 1
select column1, column2 from (values (1, 'a'), (2, 'b')) v
values (1, 'a'), (2, 'b')
select * from (values (1, 'a')) v(x, y)
table e
select upper(g) from t group by upper order by 1
select "Odd" from (select 1 as "Odd") q
select generate_series from generate_series(1, 3)
select g from generate_series(1, 3) g
select i from generate_series(1, 3) as s(i)
select current_user is not null, user is null, current_schema, current_catalog is null
select t.* from t where id = 99
select case g when 'a' then 1 else k end from t where id = 1
select nullif(k, 10), greatest(k, 3), least(k, 3) from t where id = 1
select k::int, cast(k as bigint), x::numeric(5,1) from t where id = 1
