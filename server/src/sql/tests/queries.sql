select g, count(*), sum(k), avg(k), avg(x), min(n), max(d) from t group by g order by g
select sum(b), sum(k), sum(n), sum(x), sum(s), avg(b), avg(n), avg(s) from t
select sum(k) filter (where f), count(distinct k), sum(distinct k), avg(distinct k) from t
select count(*), sum(k), avg(k), max(k) from t where id > 100
select g, sum(k) over (partition by g order by id), avg(k) over (partition by g), count(*) over () from t order by id
select id, row_number() over (order by id desc), rank() over (order by g), lag(k) over (order by id), lead(k, 2) over (order by id), ntile(2) over (order by id) from t order by id
select (select label from u where u.uid = t.id) from t order by id
select (select label from u where u.k = t.k order by uid desc limit 1) from t order by id
select (select k from u order by uid limit 1), (select 1), (select t.id) from t where id = 2
select array(select uid from u where u.k = 20 order by uid), array(select uid from u where u.k = 99)
select t.id, array(select label from u where u.k = t.k order by label) from t order by id
select id from t where exists (select 1 from u where u.k = t.k) order by id
select id from t where k in (select k from u) order by id
select id from t where k not in (select k from u) order by id
select id, (select count(*) from u where u.k = t.k) from t order by id
select percentile_cont(0.5) within group (order by x), percentile_cont(0.5) within group (order by k) from t
select percentile_disc(0.5) within group (order by k), mode() within group (order by g) from t
select string_agg(g, ',' order by id), array_agg(k order by id), bool_and(f), bool_or(f), every(id > 0) from t
select round(stddev(x)::numeric, 6), round(variance(x)::numeric, 6), round(corr(x, k)::numeric, 6), round(stddev_pop(k)::numeric, 6) from t
select distinct on (g) g, id from t order by g, id desc
select g, id from t order by g desc, id fetch first 2 rows only
select id, k from t order by k, id
select id, k from t order by k desc, id
select id, k from t order by k nulls first, id limit 2
select g as grp, count(*) from t group by grp order by grp
select g, count(*) from t group by 1 order by 2 desc, 1
select t.id, u.label from t join u using (k) order by id, label
select id, k, label from t natural join u order by id, label
select g, k, count(*) from t group by rollup (g, k) order by g, k, count(*)
select g, grouping(g), count(*) from t group by grouping sets ((g), ()) order by 1, 2
select 1 where false
select id is distinct from 1, k is not distinct from null from t order by id
select g similar to '(a|c)', g like 'A', g ilike 'A', g ~ '^a', g !~* 'B' from t where id = 1
select 'a%c' like 'a!%c' escape '!', 'abc' like 'a!%c' escape '!', 'a_c' like 'a\_c'
select (1, 2) = (1, 2), (1, 2) < (1, 3), (id, k) in ((1, 10), (4, 30)) from t order by id
select id from t where id = any('{1,3}') order by id
select id from t where id = any(array[2, 4]) order by id
select id from t where k between 10 and 20 and g not between 'b' and 'c' order by id
select id from t where x between symmetric 3 and 1
with recursive r(n) as (select 1 union all select n + 1 from r where n < 5) select sum(n), count(*) from r
select * from (select count(*) from t) a, (select count(*) from u) b
select max(c) from (select g, count(*) c from t group by g) q
select q.* from t, lateral (select label from u where u.k = t.k) q order by 1
select id from t union select uid from u order by 1
select k from t intersect select k from u order by 1
select k from t except select k from u order by 1
select id, 'x' as c from t where id < 3 union all select uid, label from u where uid < 3 order by 1, 2
select count(*) from t a left join u b on a.k = b.k and b.uid > 2
select n, count(*) from t group by n having count(*) > 0 order by n nulls first limit 2
select sum(case when f then 1 else 0 end)::float / count(*) from t
select 100.0 * sum(k) / count(*) from t
select avg(k) * 2, round(avg(k), 2), round(avg(x)::numeric, 2), avg(k)::int from t
select date_trunc('month', ts), extract(day from ts), extract(epoch from ts), date_part('hour', ts), extract(second from ts), extract(dow from d) from t where id = 2
select to_char(ts, 'YYYY-MM-DD HH24:MI:SS'), to_char(d, 'Mon DD') from t where id = 1
select left('abc', -1), right('abc', 2), right('abc', -1), lpad('5', 3, '0'), rpad('a', 3), substr('hello', 2, 3), substr('hello', -1, 4), substring('hello' from 3 for 2)
select split_part('a,b,c', ',', 2), split_part('a,b,c', ',', -1), strpos('abc', 'c'), position('b' in 'abc'), replace('aXa', 'X', 'b'), reverse('abc'), repeat('ab', 2)
select concat('a', 1, null, true), concat_ws(',', 'a', null, 2), length('äb'), upper('a'), initcap('hello world'), octet_length('ä'), ascii('A'), chr(65), md5('a')
select trim('  a '), ltrim('xxa', 'x'), rtrim('axx', 'x'), btrim('xax', 'x'), trim(both 'x' from 'xax'), translate('abc', 'ab', 'xy'), starts_with('abc', 'a')
select regexp_replace('abc', 'b', 'X'), regexp_replace('aaa', 'a', 'b', 'g'), 'abc' ~ 'B', 'abc' ~* 'B'
select coalesce(null, null, 3), nullif(1, 1), greatest(1, null, 3), least(2, 1)
select cardinality(array[1, 2]), array_length(array[1, 2], 1), (array[5, 6])[2], array[1, 2] || 3
select age(timestamp '2013-03-15', timestamp '2013-01-10'), make_date(2013, 1, 15), date_bin('15 minutes', timestamp '2013-01-15 10:37', timestamp '2013-01-01')
select generate_series(1, 3)
select timestamp '2013-01-15 10:00' at time zone 'America/New_York', timestamptz '2013-01-15 15:00+00' at time zone 'America/New_York'
select count(*) from generate_series(1, 10) g where g % 2 = 0
select id from t where f
select id from t where not f order by id
select not f, f and null, f or true from t where id < 4 order by id
select sum(x) from t group by g having sum(x) > 1 order by 1
select id, sum(k) over w from t window w as (order by id) order by id
select 1 as a, 2 as a
select * from (select 1 as a, 2 as b) q where a = 1
select id from t where k = any (select k from u) order by id
select id from t where k <> all (select k from u) order by id
select id from t where k > any (select k from u where uid < 3) order by id
select id from t where k >= all (select k from u where uid < 3) order by id
select ts + '1 month', count(*) from t group by grouping sets ((ts + '1 month'), ()) order by 1 nulls first, 2
select case g when 'a' then '1' else g end, count(*) from t group by 1 order by 1
select sum(k) over (order by id rows between 1 preceding and current row), sum(k) over (order by d range between interval '30 days' preceding and current row), sum(k) over w from t window w as (order by id rows between 2 preceding and 1 preceding) order by id
select make_interval(days => 10, hours => 2), make_interval(1, 2), '{1,2}'::int[], '{}'::text[], array_length('{}'::int[], 1)
select avg(id * 1.5), sum(n * 2), avg(n) * 2 from t
select t.g, count(*) filter (where t.k > 10), avg(x) filter (where f) from t group by t.g order by 1
select (select count(*) from u where u.k = t.k and u.label > 'a') + 1, exists (select 1 from u where u.k = t.k) from t order by t.id
select max(id) - min(id), count(*) * 100.0 / 3, sum(k)::float / count(*) from t
select a.g, b.g from t a join t b on a.id + 1 = b.id order by a.id
select t.id, l.* from t cross join lateral (select u.uid, u.label from u where u.k = t.k order by u.uid limit 1) l order by 1
select t.id, l.uid from t, lateral (select u.uid from u where u.k = t.k order by u.uid desc limit 2) l order by 1, 2
select t.id, l.label from t left join lateral (select u.label from u where u.k = t.k order by u.uid limit 1) l on true order by 1
select 'infinity'::date, '-infinity'::timestamp, 'infinity'::timestamptz > now()
