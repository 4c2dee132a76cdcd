CREATE TABLE t (id int, k int, g text, x double precision, n numeric(10,2), b bigint, s smallint, d date, ts timestamp, f boolean, r real);
INSERT INTO t VALUES
 (1, 10, 'a', 1.5, 10.25, 9000000000, 1, '2013-01-15', '2013-01-15 10:30:00', true, 0.5),
 (2, 20, 'a', 2.5, 20.50, 9223372036854775807, 2, '2013-02-28', '2013-02-28 23:59:59.5', false, 1.25),
 (3, 10, 'b', NULL, NULL, 3, NULL, NULL, NULL, NULL, NULL),
 (4, 30, 'b', -3.5, -5.75, -4, -32768, '2013-12-31', '2013-12-31 00:00:00', true, -2),
 (5, NULL, NULL, 100, 0.01, 5, 32767, '2000-02-29', '2000-02-29 12:00:00', false, 3.75);
CREATE TABLE u (uid int, k int, label text);
INSERT INTO u VALUES (1, 10, 'ten'), (2, 20, 'twenty'), (3, 20, 'zwanzig'), (4, 40, 'forty');
CREATE TABLE e (a int, b text);
