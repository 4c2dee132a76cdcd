//! Page views with the 105 columns of ClickBench's `hits`, names in lower case: users, addresses, phrases and regions of
//! which some are frequent and most are rare, in July 2013, in the order of counters and days. Only the shape is that of
//! the real data.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Int16Array, Int32Array, Int64Array, RecordBatch, StringViewBuilder,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;

use super::Rows;
use super::random::{Column, mix};
use super::words::{sentence, word};

/// 2013-07-01 in days since 1970.
const FIRST_DAY: u64 = 15_887;
const DAYS: f64 = 31.0;
const DAY_SECONDS: u64 = 86_400;
/// Counters, of which the first has this part of the rows.
const COUNTERS: u64 = 6_500;
const FIRST_COUNTER: u64 = 62;
const FIRST_COUNTER_SHARE: f64 = 0.0075;
/// The user and the hashes that ClickBench's queries look for.
const KNOWN_USER: u64 = 435_090_932_899_640_449;
const KNOWN_URL_HASH: u64 = 2_868_770_270_353_813_622;
const KNOWN_REFERER_HASH: u64 = 3_594_120_000_172_545_465;
const VOCABULARY: u64 = 6_000;
const SCREENS: [(u64, u64); 11] = [
    (0, 0),
    (1024, 768),
    (1280, 1024),
    (1366, 768),
    (1440, 900),
    (1600, 900),
    (1680, 1050),
    (1920, 1080),
    (2560, 1440),
    (320, 480),
    (768, 1024),
];

/// What a column holds.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// 16, 32 or 64 bits: 0 with a probability, else 1 to a largest number, small ones more often.
    Number(u8, f64, u64),
    /// Empty with a probability, else one of so many texts.
    Text(f64, u64),
    /// One of these, the first ones more often.
    Choice(&'static [&'static str]),
    /// 16, 32 or 64 bits with a meaning of their own.
    Special(u8),
    SpecialText,
    Time,
    Date,
}

use Kind::{Choice, Date, Number, Special, SpecialText, Text, Time};

#[rustfmt::skip]
const COLUMNS: [(&str, Kind); 105] = [
    ("watchid", Special(64)), ("javaenable", Number(16, 0.1, 1)), ("title", SpecialText), ("goodevent", Special(16)),
    ("eventtime", Time), ("eventdate", Date), ("counterid", Special(32)), ("clientip", Special(32)),
    ("regionid", Special(32)), ("userid", Special(64)), ("counterclass", Number(16, 0.7, 3)),
    ("os", Number(16, 0.02, 90)), ("useragent", Number(16, 0.02, 80)), ("url", SpecialText),
    ("referer", SpecialText), ("isrefresh", Number(16, 0.86, 1)), ("referercategoryid", Number(16, 0.8, 20_000)),
    ("refererregionid", Number(32, 0.5, 9_000)), ("urlcategoryid", Number(16, 0.4, 20_000)),
    ("urlregionid", Number(32, 0.3, 9_000)), ("resolutionwidth", Special(16)), ("resolutionheight", Special(16)),
    ("resolutiondepth", Number(16, 0.03, 32)), ("flashmajor", Number(16, 0.15, 11)),
    ("flashminor", Number(16, 0.3, 9)), ("flashminor2", Text(0.4, 300)), ("netmajor", Number(16, 0.9, 4)),
    ("netminor", Number(16, 0.95, 5)), ("useragentmajor", Number(16, 0.02, 28)),
    ("useragentminor", Choice(&["0", "1", "2", "5", "10", "D0", "Cz", "p1", "95", "Dп"])),
    ("cookieenable", Number(16, 0.01, 1)), ("javascriptenable", Number(16, 0.01, 1)),
    ("ismobile", Number(16, 0.93, 1)), ("mobilephone", Special(16)), ("mobilephonemodel", SpecialText),
    ("params", Text(0.999, 50)), ("ipnetworkid", Number(32, 0.05, 4_000_000)), ("traficsourceid", Special(16)),
    ("searchengineid", Special(16)), ("searchphrase", SpecialText), ("advengineid", Number(16, 0.9935, 60)),
    ("isartifical", Number(16, 0.98, 1)), ("windowclientwidth", Special(16)),
    ("windowclientheight", Number(16, 0.1, 2_000)), ("clienttimezone", Special(16)), ("clienteventtime", Time),
    ("silverlightversion1", Number(16, 0.7, 5)), ("silverlightversion2", Number(16, 0.9, 1)),
    ("silverlightversion3", Number(32, 0.7, 60_000)), ("silverlightversion4", Number(16, 0.95, 10)),
    ("pagecharset", Choice(&["utf-8", "windows", "windows-1251", "", "koi8-r"])),
    ("codeversion", Number(32, 0.05, 2_000)), ("islink", Number(16, 0.85, 1)), ("isdownload", Number(16, 0.995, 1)),
    ("isnotbounce", Number(16, 0.55, 1)), ("funiqid", Special(64)), ("originalurl", Text(0.97, 40_000)),
    ("hid", Special(32)), ("isoldcounter", Number(16, 0.999, 1)), ("isevent", Number(16, 0.97, 1)),
    ("isparameter", Number(16, 0.98, 1)), ("dontcounthits", Number(16, 0.92, 1)), ("withhash", Number(16, 0.9, 1)),
    ("hitcolor", Choice(&["5", "E", "9", "D", "T", "C", "Q", "S"])), ("localeventtime", Time),
    ("age", Number(16, 0.45, 55)), ("sex", Number(16, 0.45, 2)), ("income", Number(16, 0.5, 4)),
    ("interests", Number(16, 0.6, 30_000)), ("robotness", Number(16, 0.8, 100)), ("remoteip", Special(32)),
    ("windowname", Number(32, 0.6, 30_000)), ("openername", Number(32, 0.8, 30_000)),
    ("historylength", Number(16, 0.3, 50)),
    ("browserlanguage", Choice(&["ru", "en", "uk", "tr", "kk", "be", "de", "fr"])),
    ("browsercountry", Choice(&["RU", "UA", "KZ", "BY", "TR", "US", "DE", ""])), ("socialnetwork", Text(0.999, 6)),
    ("socialaction", Text(0.999, 6)), ("httperror", Number(16, 0.999, 503)), ("sendtiming", Number(32, 0.8, 30_000)),
    ("dnstiming", Number(32, 0.6, 5_000)), ("connecttiming", Number(32, 0.5, 10_000)),
    ("responsestarttiming", Number(32, 0.3, 20_000)), ("responseendtiming", Number(32, 0.2, 30_000)),
    ("fetchtiming", Number(32, 0.4, 40_000)), ("socialsourcenetworkid", Number(16, 0.98, 30)),
    ("socialsourcepage", Text(0.99, 5_000)), ("paramprice", Number(64, 0.995, 5_000_000)),
    ("paramorderid", Text(0.997, 90_000)), ("paramcurrency", Text(0.98, 4)), ("paramcurrencyid", Number(16, 0.98, 4)),
    ("openstatservicename", Text(0.99, 30)), ("openstatcampaignid", Text(0.99, 9_000)),
    ("openstatadid", Text(0.99, 20_000)), ("openstatsourceid", Text(0.99, 900)), ("utmsource", Text(0.97, 400)),
    ("utmmedium", Text(0.97, 60)), ("utmcampaign", Text(0.97, 4_000)), ("utmcontent", Text(0.985, 8_000)),
    ("utmterm", Text(0.99, 9_000)), ("fromtag", Text(0.99, 2_000)), ("hasgclid", Number(16, 0.985, 1)),
    ("refererhash", Special(64)), ("urlhash", Special(64)), ("clid", Number(32, 0.97, 3_000_000)),
];

/// The table `hits`.
pub(super) struct Hits {
    rows: u64,
    schema: SchemaRef,
}

impl Hits {
    /// So many page views.
    pub(super) fn new(rows: u64) -> Self {
        let field = |(name, kind): (&str, Kind)| {
            let data_type = match kind {
                Number(16, ..) | Special(16) => DataType::Int16,
                Number(32, ..) | Special(32) => DataType::Int32,
                Number(..) | Special(_) => DataType::Int64,
                Text(..) | Choice(_) | SpecialText => DataType::Utf8View,
                Time => DataType::Timestamp(TimeUnit::Microsecond, None),
                Date => DataType::Date32,
            };
            Field::new(name, data_type, false)
        };
        Self { rows, schema: Arc::new(Schema::new(COLUMNS.map(field).to_vec())) }
    }

    /// The counter of a row, and how far the row is through the counter's rows.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counters are few"
    )]
    fn counter(&self, row: u64) -> (u64, f64) {
        let at = row as f64 / self.rows.max(1) as f64;
        if at < FIRST_COUNTER_SHARE {
            return (0, at / FIRST_COUNTER_SHARE);
        }
        // Counter i has the rows between two powers: the early ones many, the late ones few.
        let rest = (at - FIRST_COUNTER_SHARE) / (1.0 - FIRST_COUNTER_SHARE);
        let place = rest.powi(3) * (COUNTERS - 1) as f64;
        (1 + place as u64, place.fract())
    }

    fn seconds(&self, row: u64) -> u64 {
        let (_, through) = self.counter(row);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a day of a month, a second of a day"
        )]
        let (day, second) = (
            (through * DAYS) as u64,
            (Column::named("hits", "hour").normal(row, 14.5, 5.0).clamp(0.0, 23.999) * 3_600.0) as u64,
        );
        (FIRST_DAY + day) * DAY_SECONDS + second
    }

    fn user(&self, row: u64) -> u64 {
        let users = (self.rows / 5).max(100);
        let column = Column::named("hits", "user");
        if Column::named("hits", "regular").chance(row, 0.6) {
            column.zipf(row, users, 300.0)
        } else {
            column.below(row, users)
        }
    }

    fn address(&self, row: u64, name: &str, rare: u64) -> u64 {
        let addresses = (self.rows / rare).max(2_000);
        let column = Column::named("hits", name);
        if Column::named("hits.anywhere", name).chance(row, 0.25) {
            return column.below(row, addresses);
        }
        (column.zipf(row, addresses, 30.0) + self.counter(row).0 * 977) % addresses
    }

    fn network(&self, row: u64) -> u64 {
        let networks = (self.rows / 8).max(100);
        let column = Column::named("hits", "network");
        if column.chance(row, 0.8) { self.user(row) % networks } else { column.below(row, networks) }
    }

    fn special(&self, name: &str, row: u64) -> u64 {
        let column = Column::named("hits", name);
        let known = self.counter(row).0 == 0;
        let searched = Column::named("hits", "searched").chance(row, 0.13);
        let screen = Column::named("hits", "screen").zipf(row, SCREENS.len() as u64, 1.0);
        let screen = usize::try_from(screen).ok().and_then(|at| SCREENS.get(at)).copied().unwrap_or_default();
        let phone = Column::named("hits", "phone").chance(row, 0.056);
        match name {
            "watchid" => mix(row ^ 1 << 60) >> 2,
            "goodevent" => 1,
            "counterid" => match self.counter(row).0 {
                0 => FIRST_COUNTER,
                other => 100 + other * 40,
            },
            "clientip" => mix(self.network(row) ^ 4 << 50) % (1 << 31),
            "remoteip" => mix((self.network(row) + u64::from(column.chance(row, 0.1))) ^ 4 << 50) % (1 << 31),
            "regionid" => column.zipf(row, 9_000, 2.0) * 229 % 9_001 + 1,
            "userid" => match self.user(row) {
                user if user == (self.rows / 5).max(100) / 2 => KNOWN_USER,
                user => mix(user ^ 2 << 50) >> 2,
            },
            "funiqid" if column.chance(row, 0.3) => 0,
            "funiqid" => mix(self.user(row) ^ 3 << 50) >> 2,
            "resolutionwidth" => screen.0,
            "resolutionheight" => screen.1,
            "windowclientwidth" => screen.0.saturating_sub(column.zipf(row, 300, 1.0)),
            "mobilephone" if phone => model(row) % 80 + 1,
            "traficsourceid" if searched => 2,
            "traficsourceid" => column.below(row, 6),
            "searchengineid" if searched => column.zipf(row, 70, 1.0) + 1,
            "clienttimezone" => [180, 240, 120, 300, 360, 0, 420, 60]
                .get(usize::try_from(column.zipf(row, 8, 1.0)).unwrap_or(0))
                .copied()
                .unwrap_or(0),
            "hid" => mix(row ^ 8 << 50) % 1_000_000_000,
            "urlhash" if known && column.chance(row, 0.5) => KNOWN_URL_HASH,
            "urlhash" => mix(self.address(row, "url", 6) ^ 5 << 50) >> 2,
            "refererhash" if known && column.chance(row, 0.2) => KNOWN_REFERER_HASH,
            "refererhash" if no_referer(row) => 0,
            "refererhash" => mix(self.address(row, "referer", 7) ^ 6 << 50) >> 2,
            _ => 0,
        }
    }

    fn special_text(&self, name: &str, row: u64, out: &mut String) {
        let column = Column::named("hits", name);
        match name {
            "url" => url(self.address(row, "url", 6), out),
            "referer" if !no_referer(row) => url(self.address(row, "referer", 7) ^ 1 << 40, out),
            "title" if !column.chance(row, 0.15) => {
                let titles = (self.rows / 12).max(1_000);
                let title = self.address(row, "url", 6) % titles;
                sentence(title ^ 1 << 41, 6, VOCABULARY, out);
                if mix(title) % 300 == 0 {
                    out.push_str(" Google");
                }
            }
            "searchphrase" if Column::named("hits", "searched").chance(row, 0.13) => {
                let phrases = (self.rows / 20).max(1_000);
                sentence(column.zipf(row, phrases, 30.0) ^ 1 << 42, 4, VOCABULARY, out);
            }
            "mobilephonemodel" if Column::named("hits", "phone").chance(row, 0.056) => {
                word(model(row) ^ 1 << 43, out);
            }
            _ => {}
        }
    }

    fn column(&self, name: &str, kind: Kind, rows: std::ops::Range<u64>) -> ArrayRef {
        let column = Column::named("hits", name);
        let number = |row: u64| match kind {
            Number(_, zero, most) => {
                if Column::named("hits.zero", name).chance(row, zero) {
                    0
                } else {
                    column.zipf(row, most, 1.0) + 1
                }
            }
            _ => self.special(name, row),
        };
        let micros = |row: u64| {
            let seconds = self.seconds(row)
                + match name {
                    "clienteventtime" => column.below(row, 3_600),
                    "localeventtime" => column.below(row, 5) * 3_600,
                    _ => 0,
                };
            (seconds * 1_000_000).cast_signed()
        };
        match kind {
            Number(16, ..) | Special(16) => Arc::new(Int16Array::from_iter_values(
                rows.map(|row| i16::try_from(number(row)).unwrap_or(i16::MAX)),
            )),
            Number(32, ..) | Special(32) => Arc::new(Int32Array::from_iter_values(
                rows.map(|row| i32::try_from(number(row)).unwrap_or(i32::MAX)),
            )),
            Number(..) | Special(_) => {
                Arc::new(Int64Array::from_iter_values(rows.map(|row| number(row).cast_signed())))
            }
            Time => Arc::new(TimestampMicrosecondArray::from_iter_values(rows.map(micros))),
            Date => Arc::new(Date32Array::from_iter_values(
                rows.map(|row| i32::try_from(self.seconds(row) / DAY_SECONDS).unwrap_or(0)),
            )),
            Text(..) | Choice(_) | SpecialText => {
                let mut builder = StringViewBuilder::new();
                let mut text = String::new();
                for row in rows {
                    text.clear();
                    match kind {
                        Text(empty, texts) if !Column::named("hits.empty", name).chance(row, empty) => {
                            word(column.zipf(row, texts, 1.0) ^ mix(name.len() as u64), &mut text);
                        }
                        Choice(choices) => {
                            let at =
                                usize::try_from(column.zipf(row, choices.len() as u64, 1.0)).unwrap_or(0);
                            text.push_str(choices.get(at).copied().unwrap_or_default());
                        }
                        SpecialText => self.special_text(name, row, &mut text),
                        _ => {}
                    }
                    builder.append_value(&text);
                }
                Arc::new(builder.finish())
            }
        }
    }
}

impl Rows for Hits {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn batch(&self, rows: std::ops::Range<u64>) -> Result<RecordBatch, ArrowError> {
        let columns = COLUMNS.iter().map(|(name, kind)| self.column(name, *kind, rows.clone())).collect();
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
    }
}

fn model(row: u64) -> u64 {
    Column::named("hits", "model").zipf(row, 170, 1.0)
}

fn no_referer(row: u64) -> bool {
    Column::named("hits", "direct").chance(row, 0.19)
}

/// The address of a number: a popular host, one to three folders, a page, sometimes a query.
fn url(number: u64, out: &mut String) {
    let column = |name| Column::named("url", name);
    out.push_str(if column("https").chance(number, 0.03) { "https://" } else { "http://" });
    match column("host").zipf(number, 5_000, 1.0) {
        300 => out.push_str("www.google.com"),
        301 => out.push_str("maps.google.ru"),
        host => {
            word(host, out);
            out.push_str(if host % 3 == 0 { ".com" } else { ".ru" });
        }
    }
    for (at, folder) in ["first", "second", "third"].into_iter().enumerate() {
        if at == 0 || column("deep").chance(number ^ at as u64, 0.8) {
            out.push('/');
            word(column(folder).zipf(number, VOCABULARY, 5.0), out);
        }
    }
    out.push('/');
    out.push_str(&number.to_string());
    if column("query").chance(number, 0.5) {
        out.push('?');
        word(column("parameter").zipf(number, 50, 1.0), out);
        out.push('=');
        out.push_str(&(mix(number) % 1_000_000_000).to_string());
    }
    if column("from").chance(number, 0.004) {
        out.push_str("&from=google");
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::Int32Type;

    use super::*;

    #[test]
    fn rows_do_not_depend_on_how_they_are_cut() {
        let hits = Hits::new(2_000);
        let whole = hits.batch(0..2_000).unwrap();
        assert_eq!(whole.num_columns(), 105);
        assert_eq!(whole.slice(700, 50), hits.batch(700..750).unwrap());
        let counters = whole.column_by_name("counterid").unwrap();
        assert_eq!(counters.as_primitive::<Int32Type>().value(0), 62);
    }
}
