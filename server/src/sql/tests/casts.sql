select 1.5::int, 2.5::int, -1.5::int, 2.5::float8::int, 3.5::float8::int
select 'x'::int
select '99999999999'::int
select ' 12 '::int, '1e3'::float8, 'NaN'::float8, 't'::bool, 'off'::bool, '1.50'::numeric
select 'maybe'::bool
select 'abc'::float8
select '1.2.3'::numeric
select 3000000000::int
select 40000::smallint
select 1e10::float8::int
select 1e30::float8::bigint
select 1.0::float8::text, 0.1::float8::text, 1e20::float8::text, true::text, 1.50::text, 12::text
select '2013-01-15'::date, 'Jan 15, 2013'::date, '20130115'::date, '2013-01-15 10:30'::timestamp, '2013-01-15'::timestamp
select '2013-13-01'::date
select '2013-02-30'::date
select 'tomorrowish'::date
select '2013-01-15 25:00'::timestamp
select '2013-01-15 10:30:00+02'::timestamptz, timestamptz '2013-01-15 10:30:00 America/New_York'
select ts::date, ts::time, d::timestamp, d::text, ts::text from t where id = 2
select interval '1 year 2 months 3 days 04:05:06.7', interval '36 hours', interval '1' day, '1-2'::interval, interval '2' year
select interval 'nonsense'
select x::int, x::bigint, n::int, x::text, n::text, n::numeric(10,1) from t where id = 2
select 123.456::numeric(5,1), 1::numeric(5,2), '12.345'::numeric(5,2)
select 12345.6::numeric(5,2)
select g::int from t
select d::int from t
select 1::bool, 0::bool, true::int
select null::int, null::text, null
select 'abcdef'::varchar(3), 'abc'::char(2), cast('x' as text)
select '\x4142'::bytea, 'ab'::bytea
select a::nope from e
select 'a' collate "nope"
select 'a' collate "C" < 'b'
select g from t where g = 1
select id from t where id = '3'
select id from t where id = 'x'
select id from t where id in ('1', '3') order by id
select id from t where d = '2013-01-15'
select id from t where d between '2013-01-01' and '2013-06-30' order by id
select id from t where ts > '2013-02-01' order by id
select id from t where ts >= date '2013-12-31'
select id from t where x > 1 and n < 15 order by id
select id from t where b = 9223372036854775807
select id from t where n = 20.5
select 1 = 1.0, 1 = 1.0::float8, 0.1::float8 = 0.1, 1::smallint = 1
select 1 = 'x'
select true = 1
select d = 1 from t
select case when id = 1 then '5' else k end from t where id < 3 order by id
select coalesce(k, '7') from t where id = 5
select coalesce(k, 'x') from t
select case when id = 1 then 1 else 2.5 end from t where id < 3 order by id
select 1 union select 'a'
select 1 union all select 2.5 order by 1
