#!/usr/bin/env python3
"""Makes a throwaway PostgreSQL 15 with the demo's tables, to record and to verify expected answers.

    sql-tests/reference.py --dir /tmp/quickdb-reference --port 5497     # start and load; prints the DSN
    cargo run --release -p quickdb-sql-tests --bin record -- --check postgresql://quickdb@127.0.0.1:5497/quickdb
    sql-tests/reference.py --dir /tmp/quickdb-reference --stop

Needs PostgreSQL 15's server programs (Debian: postgresql-15) and pyarrow. Started by root, it runs the
server as the system user postgres, because PostgreSQL refuses to run as root.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys

import pyarrow
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet

PROGRAMS = pathlib.Path("/usr/lib/postgresql/15/bin")

# Answers depend on these: text order, time zone and how floats and dates are written.
SETTINGS = """
listen_addresses = '127.0.0.1'
timezone = 'UTC'
log_timezone = 'UTC'
datestyle = 'ISO, MDY'
fsync = off
shared_buffers = 256MB
work_mem = 256MB
"""

# They change no answer, only how long correlated subqueries and joins take to record.
INDEXES = [
    ("flights", "tailnum"),
    ("flights", "carrier"),
    ("flights", "dest"),
    ("flights", "origin, time_hour"),
    ("flights", "month, day"),
    ("planes", "tailnum"),
    ("weather", "origin, time_hour"),
    ("airports", "faa"),
    ("stars", "hip"),
    ("stars", "constellation"),
    ("deep_sky", "id"),
]


def sql_type(arrow_type):
    """The PostgreSQL type of an Arrow column, as the demo declares it."""
    if pyarrow.types.is_timestamp(arrow_type):
        return "timestamptz" if arrow_type.tz else "timestamp"
    return {
        "bool": "boolean",
        "int16": "smallint",
        "int32": "integer",
        "int64": "bigint",
        "float": "real",
        "double": "double precision",
        "string": "text",
        "large_string": "text",
        "date32[day]": "date",
    }[str(arrow_type)]


def run(command, as_postgres=False, **options):
    """Runs a program and fails with its output."""
    if as_postgres and os.geteuid() == 0:
        command = ["runuser", "-u", "postgres", "--", *command]
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{command[0]}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def start(directory, port):
    """Makes the cluster if it is not there, and starts it."""
    cluster = directory / "data"
    if not cluster.exists():
        directory.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            shutil.chown(directory, "postgres")
        run([PROGRAMS / "initdb", "-D", cluster, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"], True)
        with open(cluster / "postgresql.conf", "a", encoding="utf-8") as settings:
            settings.write(SETTINGS)
    place = f"-p {port} -k {directory}"
    run([PROGRAMS / "pg_ctl", "-D", cluster, "-l", directory / "log", "-w", "-o", place, "start"], True)


def load(psql, data):
    """Loads every Parquet file as a table of its name."""
    files = sorted(data.glob("*.parquet"))
    if not files:
        sys.exit(f"{data}: no Parquet files")
    for file in files:
        rows = pyarrow.parquet.read_table(file)
        columns = ", ".join(f"{field.name} {sql_type(field.type)}" for field in rows.schema)
        for i, field in enumerate(rows.schema):
            if pyarrow.types.is_timestamp(field.type):
                text = pyarrow.compute.strftime(rows[field.name], format="%Y-%m-%d %H:%M:%S+00")
                rows = rows.set_column(i, field.name, text)
        sink = pyarrow.BufferOutputStream()
        pyarrow.csv.write_csv(rows, sink)
        run([*psql, "-c", f"DROP TABLE IF EXISTS {file.stem}", "-c", f"CREATE TABLE {file.stem} ({columns})"])
        # Text is quoted in this CSV, so that an unquoted nothing is NULL and "" is the empty text.
        copy = f"\\copy {file.stem} FROM STDIN (FORMAT csv, HEADER true)"
        run([*psql, "-c", copy], input=sink.getvalue().to_pybytes().decode())
    for table, columns in INDEXES:
        run([*psql, "-c", f"CREATE INDEX ON {table} ({columns})"])
    run([*psql, "-c", "ANALYZE"])


def main():
    """Reads the command line and does it."""
    here = pathlib.Path(__file__).resolve().parent
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--dir", type=pathlib.Path, default=pathlib.Path("/tmp/quickdb-reference"))
    options.add_argument("--port", type=int, default=5497)
    options.add_argument("--data", type=pathlib.Path, default=here.parent / "deploy" / "data")
    options.add_argument("--stop", action="store_true", help="stop the server instead")
    chosen = options.parse_args()

    if chosen.stop:
        run([PROGRAMS / "pg_ctl", "-D", chosen.dir / "data", "-m", "fast", "stop"], True)
        return
    start(chosen.dir, chosen.port)
    admin = ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(chosen.port)]
    known = run([*admin, "-U", "postgres", "-d", "postgres", "-Atc", "SELECT datname FROM pg_database"])
    if "quickdb" not in known.split():
        make = ["-c", "CREATE ROLE quickdb SUPERUSER LOGIN", "-c", "CREATE DATABASE quickdb OWNER quickdb"]
        run([*admin, "-U", "postgres", "-d", "postgres", *make])
    load([*admin, "-U", "quickdb", "-d", "quickdb"], chosen.data)
    print(f"postgresql://quickdb@127.0.0.1:{chosen.port}/quickdb")


if __name__ == "__main__":
    main()
