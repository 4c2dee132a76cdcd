select 7 / 2, -7 / 2, 7 % -3, -7 % 3, 7.0 / 2, 2147483647 + 1::bigint
select k + id, k * 2, b - 1, s + 1::smallint, s * k from t where id = 1
select 2147483647 + 1
select 2147483648 + 1, 9223372036854775807, 9223372036854775808
select b + 1 from t where id = 2
select s - 1::smallint from t where id = 4
select k / (id - 1) from t where id = 1
select x / 0 from t where id = 1
select n / 0 from t where id = 1
select k % 0 from t where id = 1
select mod(7, 0)
select 1.5 + 1, 1.5 * 2.25, 10 - 0.5, -(-1.5)
select n * 2, n + 1, n - 0.005, n * n from t where id = 1
select 10.0 / 3, 1 / 3.0, n / 3 from t where id = 1
select x + 1, x * 2.5, x + k, r + 1, r + r, r + x from t where id = 1
select 1e308::float8 * 10
select abs(-5), abs(-5.5), abs(-2147483648::int)
select -s from t where id = 4
select -(-2147483647 - 1)
select abs(s) from t where id = 4
select round(2.5), round(-2.5), round(2.5::float8), round(3.5::float8), round(1.005, 2), round(12345, -2), round(5)
select ceil(1.2), floor(-1.2), trunc(1.29, 1), ceil(1.2::float8), floor(5), sign(-2.5), sign(3)
select round(1.5::float8, 2)
select power(2, 10), power(2.0, 3), sqrt(16), sqrt(2.25), exp(0), ln(1), log(100), log(2, 8)
select sqrt(-1)
select ln(0)
select 2 ^ 3
select 1 + true
select 'a' + 1
select k || k from t
select g || k, k || g, g || null, 'x' || 1 || 'y' from t where id = 1
select '1' + 1, 1 + '2', '3' * 2.5
select pg_typeof(1 + 1), pg_typeof(1 + 1::bigint), pg_typeof(1.5 + 1), pg_typeof(1 + 1.5::float8), pg_typeof(1::smallint + 1::smallint), pg_typeof('a'), pg_typeof(null), pg_typeof(round(1))
select pg_typeof(sum(k)), pg_typeof(sum(b)), pg_typeof(sum(n)), pg_typeof(sum(x)), pg_typeof(sum(r)), pg_typeof(avg(k)), pg_typeof(avg(x)), pg_typeof(count(*)), pg_typeof(sum(s)) from t
select d + 1, d - 1, d - date '2013-01-01', 1 + d from t where id = 1
select d + interval '1 day', ts + interval '1 hour', ts - interval '1 month', ts - ts, ts - timestamp '2013-01-01' from t where id = 1
select interval '1 day' + interval '2 hours', interval '1 day' * 2, interval '1 month' / 2, 2 * interval '3 hours', - interval '1 day'
select time '10:00' + interval '1 hour', time '10:00' - time '09:30', date '2013-01-01' + time '10:00'
select date '2020-01-01' + 1.5
select now() - 1
select 5 & 3, 5 | 3, 5 # 3, 1 << 3, 16 >> 2
