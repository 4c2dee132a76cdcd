select 1 +
selec 1
select 1 from from t
select * from t where
select 1 1
select a, a as b from e order by c
select e.x from e
select bar.a from e
select f.aa from e f
select aa from e
select count(a), a from e
select b, count(*) from e group by a
select e.a from e f
select * from nope
select * from nope.t
select nope(1, 'a', a) from e
select a + true from e
select a || a from e
select - true
select k from t, u
select 1 order by 9
select a from e group by 9
select a from e where count(*) > 1
select round(1.5::float8, 2)
select case when 1 then 2 end
select 1 where 1
select 1 union select 1, 2
select (select 1, 2)
select 1 in (select 1, 2)
select sum('a'::text)
select avg(true)
values (1, 2), (3)
select f.* from e
select a from e having a > 1
select distinct a from e order by a + 1
select 1 limit -1
select (select k from t)
select (select u.uid from u where u.k = t.k) from t
select upper(1)
select substr('abc', 1, -1)
select a from e where a = 'x'
select a from e where nope = 1
select t.nope from t join u on t.k = u.k
select 1 and true
select lower()
