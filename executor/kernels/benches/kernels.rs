//! Kernels against the obvious loop, as ratios: `cargo bench -p quickdb-kernels`.
#![allow(missing_docs, reason = "a program")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use quickdb_kernels::bitmap::{indices, words_for};
use quickdb_kernels::packing::{BLOCK_VALUES, PackWord, pack, packed_words, scaled_doubles, unpack};
use quickdb_kernels::{Comparison, KeyTable, compare, extreme, grouped, sum};

/// Rows of one chunk, as the executor hands them over.
const ROWS: usize = 8192;

/// Chunks per measurement.
const CHUNKS: usize = 2_000;

fn least(mut run: impl FnMut()) -> Duration {
    (0..5)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..CHUNKS {
                run();
            }
            start.elapsed()
        })
        .min()
        .unwrap_or_default()
}

fn show(name: &str, kernel: Duration, naive: Duration) {
    let rows = (ROWS * CHUNKS) as f64;
    println!(
        "{name:<40} {:6.2} ns/row, {:5.2} times as fast as the naive loop",
        kernel.as_secs_f64() * 1e9 / rows,
        naive.as_secs_f64() / kernel.as_secs_f64()
    );
}

/// What unpacking costs beside a copy of the plain values, for some widths.
fn show_packing(random: &mut impl FnMut() -> u64) {
    for width in [1, 4, 9, 17, 24, 32] {
        let values: Vec<u32> = (0..ROWS).map(|_| random() as u32 & u32::mask(width)).collect();
        let words = packed_words::<u32>(width);
        let mut packed = vec![0_u32; words * (ROWS / BLOCK_VALUES)];
        for (values, packed) in values.chunks(BLOCK_VALUES).zip(packed.chunks_mut(words)) {
            pack(values, 0, width, packed);
        }
        let mut out = vec![0_u32; ROWS];
        let kernel = least(|| {
            for (packed, out) in black_box(&packed).chunks(words).zip(out.chunks_mut(BLOCK_VALUES)) {
                unpack(packed, width, 7, out);
            }
            black_box(&out);
        });
        let copy = least(|| {
            out.copy_from_slice(black_box(&values));
            black_box(&out);
        });
        show(&format!("unpack u32 of {width} bits, against a copy"), kernel, copy);
    }
    for width in [1, 17, 33, 51] {
        let values: Vec<u64> = (0..ROWS).map(|_| random() & u64::mask(width)).collect();
        let words = packed_words::<u64>(width);
        let mut packed = vec![0_u64; words * (ROWS / BLOCK_VALUES)];
        for (values, packed) in values.chunks(BLOCK_VALUES).zip(packed.chunks_mut(words)) {
            pack(values, 0, width, packed);
        }
        let (mut out, mut doubles) = (vec![0_u64; ROWS], vec![0_f64; ROWS]);
        let unpacked = |out: &mut Vec<u64>| {
            for (packed, out) in black_box(&packed).chunks(words).zip(out.chunks_mut(BLOCK_VALUES)) {
                unpack(packed, width, 7, out);
            }
        };
        let kernel = least(|| {
            unpacked(&mut out);
            black_box(&out);
        });
        let copy = least(|| {
            out.copy_from_slice(black_box(&values));
            black_box(&out);
        });
        show(&format!("unpack u64 of {width} bits, against a copy"), kernel, copy);
        let scaled = least(|| {
            unpacked(&mut out);
            scaled_doubles(&out, 100.0, &mut doubles);
            black_box(&doubles);
        });
        show(&format!("f64 of {width} bits / 100, against a copy"), scaled, copy);
    }
}

fn main() {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let doubles: Vec<f64> = (0..ROWS).map(|_| next() as f64 / 1e6).collect();
    let singles: Vec<f32> = doubles.iter().map(|&value| value as f32).collect();
    let ints: Vec<i32> = (0..ROWS).map(|_| (next() % 1_000) as i32).collect();
    let keys: Vec<u64> = (0..ROWS).map(|_| next() % 5_000).collect();
    show_packing(&mut next);
    let middle = 1_073.0;
    let mut words = vec![0u64; words_for(ROWS)];

    let kernel =
        least(|| compare::compare(black_box(&doubles), Comparison::Less, middle, black_box(&mut words)));
    let mut bits = vec![false; ROWS];
    let naive = least(|| {
        for (bit, value) in bits.iter_mut().zip(black_box(&doubles)) {
            *bit = *value < middle;
        }
        black_box(&bits);
    });
    show("f64 < constant, to a bitmap", kernel, naive);

    let kernel = least(|| {
        black_box(sum::float(black_box(&doubles)));
    });
    let naive = least(|| {
        black_box(black_box(&doubles).iter().sum::<f64>());
    });
    show("sum of f64", kernel, naive);

    let kernel = least(|| {
        black_box(sum::float(black_box(&singles)));
    });
    let naive = least(|| {
        black_box(black_box(&singles).iter().map(|&value| f64::from(value)).sum::<f64>());
    });
    show("sum of f32 in f64", kernel, naive);

    let kernel = least(|| {
        black_box(sum::float_selected(black_box(&doubles), black_box(&words)));
    });
    let naive = least(|| {
        let mut total = 0.0;
        for (bit, value) in black_box(&bits).iter().zip(black_box(&doubles)) {
            if *bit {
                total += value;
            }
        }
        black_box(total);
    });
    show("sum of half of the f64", kernel, naive);

    let kernel = least(|| {
        black_box(extreme::maximum(black_box(&doubles)));
    });
    let naive = least(|| {
        black_box(black_box(&doubles).iter().copied().fold(f64::NEG_INFINITY, f64::max));
    });
    show("maximum of f64", kernel, naive);

    let kernel = least(|| {
        black_box(extreme::maximum_selected(black_box(&doubles), black_box(&words)));
    });
    show("maximum of half of the f64", kernel, naive);

    let kernel = least(|| {
        black_box(sum::integer(black_box(&ints)));
    });
    let naive = least(|| {
        black_box(black_box(&ints).iter().map(|&value| i64::from(value)).sum::<i64>());
    });
    show("sum of i32 in i64", kernel, naive);

    for groups in [2u32, 60, 1_000, 100_000] {
        let ids: Vec<u32> = (0..ROWS).map(|_| next() as u32 % groups).collect();
        let (mut counts, mut sums) = (vec![0i64; groups as usize], vec![0f64; groups as usize]);
        let kernel = least(|| grouped::count(black_box(&ids), black_box(&mut counts)));
        let naive = least(|| {
            for &id in black_box(&ids) {
                counts[id as usize] += 1;
            }
            black_box(&counts);
        });
        show(&format!("count by {groups} groups"), kernel, naive);
        let kernel = least(|| grouped::sum_float(black_box(&ids), black_box(&doubles), black_box(&mut sums)));
        let naive = least(|| {
            for (&id, &value) in black_box(&ids).iter().zip(black_box(&doubles)) {
                sums[id as usize] += value;
            }
            black_box(&sums);
        });
        show(&format!("sum by {groups} groups"), kernel, naive);
    }

    let (mut table, mut ids) = (KeyTable::new(), vec![]);
    let kernel = least(|| table.ids(black_box(&keys), black_box(&mut ids)));
    let mut map = std::collections::HashMap::new();
    let naive = least(|| {
        ids.clear();
        for &key in black_box(&keys) {
            let next = map.len() as u32;
            ids.push(*map.entry(key).or_insert(next));
        }
        black_box(&ids);
    });
    show("ids of 5000 keys", kernel, naive);

    let mut positions = vec![];
    let kernel = least(|| {
        positions.clear();
        indices(black_box(&words), black_box(&mut positions));
    });
    let naive = least(|| {
        positions.clear();
        positions.extend((0u32..).zip(black_box(&bits)).filter(|(_, bit)| **bit).map(|(row, _)| row));
        black_box(&positions);
    });
    show("positions of half of the rows", kernel, naive);
}
