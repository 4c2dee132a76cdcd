//! How far a load is: bars on a terminal, lines elsewhere.

use std::sync::Mutex;
use std::time::Instant;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::LoadFile;
use crate::console;

/// Bars that fit a terminal; of more files there is one bar for all.
const BARS_MAX: usize = 8;
const BAR: &str = "{prefix:>24!} [{bar:30}] {bytes:>10}/{total_bytes:10} {msg}";

/// The progress of all files.
pub(crate) struct Progress {
    started: Instant,
    bars: Option<Bars>,
    /// Rows and parts that are not read yet, per file.
    files: Mutex<Vec<FileProgress>>,
}

struct Bars {
    /// One for each file, or one for all.
    bars: Vec<ProgressBar>,
    _all: MultiProgress,
}

struct FileProgress {
    name: String,
    bytes: u64,
    rows: u64,
    rows_expected: Option<u64>,
    parts_left: usize,
}

impl Progress {
    /// Progress of these files; with bars where standard error is a terminal.
    pub(crate) fn new(files: &[LoadFile], is_terminal: bool) -> Self {
        let of_file = |file: &LoadFile| FileProgress {
            name: file.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            bytes: file.bytes,
            rows: 0,
            rows_expected: file.rows,
            parts_left: 1,
        };
        let of_files: Vec<FileProgress> = files.iter().map(of_file).collect();
        let bars = is_terminal.then(|| {
            let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(5));
            let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = |bytes: u64, name: String| {
                all.add(ProgressBar::new(bytes).with_style(style.clone()).with_prefix(name))
            };
            let bars = if files.len() > BARS_MAX {
                vec![bar(of_files.iter().map(|file| file.bytes).sum(), format!("{} files", files.len()))]
            } else {
                of_files.iter().map(|file| bar(file.bytes, file.name.clone())).collect()
            };
            Bars { bars, _all: all }
        });
        Self { started: Instant::now(), bars, files: Mutex::new(of_files) }
    }

    fn with<T>(&self, file_idx: usize, change: impl FnOnce(&mut FileProgress) -> T) -> Option<T> {
        let mut files = self.files.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        files.get_mut(file_idx).map(change)
    }

    /// The file is read in so many parts.
    pub(crate) fn parts(&self, file_idx: usize, parts: usize) {
        self.with(file_idx, |file| file.parts_left = parts);
    }

    /// Rows of a file were sent, of which `bytes_read` bytes are read where it is known.
    pub(crate) fn advance(&self, file_idx: usize, rows: u64, bytes_read: u64) {
        let done = self.with(file_idx, |file| {
            file.rows += rows;
            let share = file.rows_expected.filter(|expected| *expected > 0).map(|expected| {
                let bytes =
                    u128::from(file.bytes) * u128::from(file.rows.min(expected)) / u128::from(expected);
                u64::try_from(bytes).unwrap_or(file.bytes)
            });
            (share.unwrap_or(bytes_read).min(file.bytes), file.rows)
        });
        let (Some(bars), Some((bytes, rows))) = (&self.bars, done) else { return };
        match bars.bars.as_slice() {
            [all] if file_idx > 0 || self.file_count() > 1 => {
                let rows = self.rows();
                all.set_message(rate(rows, self.started));
            }
            bars => {
                if let Some(bar) = bars.get(file_idx) {
                    bar.set_position(bytes);
                    bar.set_message(rate(rows, self.started));
                }
            }
        }
    }

    fn file_count(&self) -> usize {
        self.files.lock().unwrap_or_else(std::sync::PoisonError::into_inner).len()
    }

    fn rows(&self) -> u64 {
        let files = self.files.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        files.iter().map(|file| file.rows).sum()
    }

    /// The file was loaded before.
    pub(crate) fn skip(&self, file_idx: usize) {
        let Some(bars) = &self.bars else { return };
        match bars.bars.as_slice() {
            [all] if self.file_count() > 1 => {
                let bytes = self.with(file_idx, |file| file.bytes).unwrap_or_default();
                all.dec_length(bytes);
            }
            bars => {
                if let Some(bar) = bars.get(file_idx) {
                    bar.finish_with_message("loaded before");
                }
            }
        }
    }

    /// A part of a file is at its end.
    pub(crate) fn part_done(&self, file_idx: usize) {
        let done = self.with(file_idx, |file| {
            file.parts_left = file.parts_left.saturating_sub(1);
            (file.parts_left == 0).then(|| (file.name.clone(), file.rows, file.bytes))
        });
        let Some(Some((name, rows, bytes))) = done else { return };
        match &self.bars {
            None => console::note(&format!("{name}: {}", rate(rows, self.started))),
            Some(bars) => match bars.bars.as_slice() {
                [all] if self.file_count() > 1 => all.inc(bytes),
                bars => {
                    if let Some(bar) = bars.get(file_idx) {
                        bar.set_position(bytes);
                        bar.finish_with_message(rate(rows, self.started));
                    }
                }
            },
        }
    }

    /// Takes the bars away, so that a message can be read.
    pub(crate) fn end(&self) {
        if let Some(bars) = &self.bars {
            bars.bars.iter().filter(|bar| !bar.is_finished()).for_each(ProgressBar::abandon);
        }
    }

    /// Time since the start, in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}

/// Rows and rows a second.
pub(crate) fn rate(rows: u64, since: Instant) -> String {
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let per_second = rows as f64 / since.elapsed().as_secs_f64().max(1e-3);
    format!("{rows} rows, {}", per_second_text(per_second))
}

/// `1.25 million rows/s`.
pub(crate) fn per_second_text(per_second: f64) -> String {
    if per_second >= 1e6 {
        format!("{:.2} million rows/s", per_second / 1e6)
    } else {
        format!("{per_second:.0} rows/s")
    }
}
