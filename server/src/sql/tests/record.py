#!/usr/bin/env python3
"""Records what PostgreSQL answers to the statements of *.sql here, one a line, into *.expected beside them.

    record.py DSN       (a scratch database: tables t, u and e are dropped)

Each answer is the statement, then either `names`, `types` and one `row` a line, or one `error` line of SQLSTATE, position
or 0, and message. Fields are separated by tabs; NULL is `\\N`. Lines that begin with `--` are kept as comments.
"""
import pathlib
import sys

import psycopg2
import psycopg2.extensions as extensions

here = pathlib.Path(__file__).parent
connection = psycopg2.connect(sys.argv[1])
connection.autocommit = True
cursor = connection.cursor()
cursor.execute("SELECT oid, format_type(oid, NULL) FROM pg_type")
types = {int(oid): name for oid, name in cursor.fetchall()}
extensions.register_type(extensions.new_type(tuple(types), "TEXT", lambda value, _: value))
cursor.execute("DROP TABLE IF EXISTS t, u, e; SET client_min_messages = error; SET TimeZone = 'UTC'")
cursor.execute((here / "setup.sql").read_text())


def field(value):
    return "\\N" if value is None else value.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")


for source in sorted(here.glob("*.sql")):
    if source.name == "setup.sql":
        continue
    lines = []
    for statement in source.read_text().splitlines():
        if not statement or statement.startswith("--"):
            lines.append(statement)
            continue
        lines.append(statement)
        try:
            cursor.execute(statement)
            lines.append("\t".join(["names", *(column.name for column in cursor.description)]))
            lines.append("\t".join(["types", *(types[column.type_code] for column in cursor.description)]))
            lines.extend("\t".join(["row", *map(field, row)]) for row in cursor.fetchall())
        except psycopg2.Error as error:
            diag = error.diag
            place = diag.statement_position or "0"
            lines.append("\t".join(["error", diag.sqlstate, place, diag.message_primary]))
        lines.append("")
    source.with_suffix(".expected").write_text("\n".join(lines).rstrip("\n") + "\n")
