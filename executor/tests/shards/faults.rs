//! Damage to any byte of any file: queries give the right rows or an error that says so.

use std::os::unix::fs::FileExt;

use datafusion::physical_plan::collect;
use quickdb_executor::error::{ErrorKind, ExecError};

use crate::changes::small;
use crate::harness::text_of;
use crate::junk::mix;

const SQL: [&str; 6] = [
    "select * from t",
    "select id, name from t where small > 10 and nword is not null",
    "select count(nword), sum(small), min(name), max(ndouble), sum(price) from t",
    "select nword, count(*), max(instant), sum(nlarge % 1000) from t group by nword",
    "select many, count(*) from t group by many",
    "select day, nflag, count(*) from t where clock < 300 and wild > 0 group by 1, 2",
];

/// One byte of one file is another than was written; `seed` says which.
async fn check(seed: u64) -> bool {
    let harness = small();
    let directory = harness.store.directory().path().to_path_buf();
    let mut files: Vec<_> = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let path = &files[usize::try_from(mix(seed)).unwrap_or(usize::MAX) % files.len()];
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let at = mix(seed ^ 0xfa17) % file.metadata().unwrap().len();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ (1 << (mix(seed ^ 0xb17) % 8))], at).unwrap();
    let mut found = false;
    for sql in SQL {
        let expected = text_of(&harness.memory.sql(sql).await.unwrap().collect().await.unwrap());
        match collect(harness.plan(sql).await, harness.sharded.task_ctx()).await {
            Ok(batches) => {
                assert!(text_of(&batches) == expected, "seed {seed}: byte {at} of {path:?}: {sql}")
            }
            Err(error) => {
                let error = ExecError::find(&error).unwrap_or_else(|| panic!("seed {seed}: {error}"));
                assert_eq!(error.kind, ErrorKind::Corrupt, "seed {seed}: {}", error.message);
                assert_eq!(error.worker.as_deref(), Some("w1"));
                assert!(error.message.contains("shard 000000000000000"), "seed {seed}: {}", error.message);
                found = true;
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_byte_is_an_error_or_does_not_matter() {
    let mut found = 0;
    for seed in 0..120 {
        found += u32::from(check(seed).await);
    }
    // Only zeros between segments do not matter, and what no statement reads.
    assert!(found > 80, "{found}");
}
