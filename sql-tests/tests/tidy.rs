//! What holds for the source as a whole: who may import whom, one version of what must be one, sizes,
//! lints, and where `unsafe` may stand.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use quickdb_sql_tests::Outcome;
use toml::Table;

/// Longer files hold more than one idea.
const FILE_LINES_MAX: usize = 700;

/// The folders of the crates, in the order in which imports may point: each to later ones only.
const CRATES: [&str; 7] =
    ["deploy", "server", "server/copy", "executor", "storage", "executor/kernels", "sql-tests"];

/// Crates of this workspace that each crate may name under `[dependencies]`.
const ARROWS: [(&str, &[&str]); 7] = [
    ("deploy", &["quickdb-server", "quickdb-copy", "quickdb-executor", "quickdb-storage"]),
    ("server", &["quickdb-copy", "quickdb-executor", "quickdb-storage"]),
    ("server/copy", &[]),
    ("executor", &["quickdb-kernels", "quickdb-storage"]),
    ("storage", &["quickdb-kernels"]),
    ("executor/kernels", &[]),
    ("sql-tests", &[]),
];

/// Files that may contain `unsafe`, besides the kernels.
const UNSAFE_FILES: [&str; 1] = ["storage/src/mmap.rs"];

/// Dependencies of which two versions in one binary do not understand each other, or cost minutes.
const ONE_VERSION: [&str; 9] =
    ["arrow", "arrow-array", "parquet", "datafusion", "sqlparser", "tonic", "prost", "rustls", "tokio"];

fn root() -> Outcome<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(here.parent().ok_or("sql-tests has no parent folder")?.to_owned())
}

fn manifest(folder: &str) -> Outcome<Table> {
    Ok(std::fs::read_to_string(root()?.join(folder).join("Cargo.toml"))?.parse()?)
}

/// Names under `[dependencies]`, `[build-dependencies]` and, if asked for, `[dev-dependencies]`, also
/// those for some targets only.
fn dependencies(manifest: &Table, with_dev: bool) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let targets = manifest.get("target").and_then(|t| t.as_table()).into_iter().flat_map(Table::values);
    for table in std::iter::once(manifest).chain(targets.filter_map(|target| target.as_table())) {
        for (section, wanted) in
            [("dependencies", true), ("build-dependencies", true), ("dev-dependencies", with_dev)]
        {
            let found = table.get(section).and_then(|section| section.as_table()).filter(|_| wanted);
            for (name, how) in found.into_iter().flatten() {
                let package =
                    how.as_table().and_then(|how| how.get("package")).and_then(|name| name.as_str());
                names.insert(package.unwrap_or(name).to_owned());
            }
        }
    }
    names
}

fn rust_files(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
    Ok(found)
}

/// Every Rust file of the crates with its path from the root, tests included.
fn sources() -> Outcome<Vec<(String, String)>> {
    let root = root()?;
    let mut found = Vec::new();
    for folder in CRATES {
        for part in ["src", "tests", "benches"] {
            let path = root.join(folder).join(part);
            if !path.is_dir() {
                continue;
            }
            for file in rust_files(&path)? {
                let name = file.strip_prefix(&root)?.to_string_lossy().into_owned();
                found.push((name, std::fs::read_to_string(&file)?));
            }
        }
    }
    Ok(found)
}

/// A line of code without its comment, and without texts in quotes.
fn code_of(line: &str) -> String {
    let mut code = String::new();
    let mut quoted = false;
    let mut before = ' ';
    for c in line.chars() {
        match c {
            '"' if before != '\\' && before != '\'' => quoted = !quoted,
            '/' if before == '/' && !quoted => break,
            _ if !quoted => code.push(c),
            _ => {}
        }
        before = c;
    }
    code
}

fn has_word(code: &str, word: &str) -> bool {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|part| part == word)
}

#[test]
fn the_workspace_is_the_seven_crates() -> Outcome<()> {
    let workspace = manifest("")?;
    let members = workspace.get("workspace").and_then(|w| w.get("members")).and_then(|m| m.as_array());
    let members: BTreeSet<&str> =
        members.into_iter().flatten().filter_map(|member| member.as_str()).collect();
    assert_eq!(members, BTreeSet::from(CRATES));
    Ok(())
}

#[test]
fn imports_point_one_way() -> Outcome<()> {
    for (folder, allowed) in ARROWS {
        let manifest = manifest(folder)?;
        for name in dependencies(&manifest, true) {
            let ours = name == "quickdb" || name.starts_with("quickdb-");
            assert!(!ours || allowed.contains(&name.as_str()), "{folder} must not depend on {name}");
        }
    }
    Ok(())
}

#[test]
fn each_library_stays_where_it_belongs() -> Outcome<()> {
    let kernels = dependencies(&manifest("executor/kernels")?, false);
    assert!(kernels.is_empty(), "the kernels use std alone, not {kernels:?}");

    for name in dependencies(&manifest("storage")?, true) {
        let foreign = name.starts_with("datafusion") || name.starts_with("tokio") || name == "sqlparser";
        assert!(!foreign, "storage must not know {name}");
    }
    for folder in CRATES {
        let names = dependencies(&manifest(folder)?, true);
        assert!(
            folder == "server" || !names.contains("pgwire"),
            "only the server knows pgwire, not {folder}"
        );
        let distributed = names.contains("datafusion-distributed");
        assert!(folder == "executor" || !distributed, "only the executor knows datafusion-distributed");
        assert!(folder == "server" || !names.contains("rusqlite"), "only the server knows SQLite");
    }
    Ok(())
}

#[test]
fn versions_and_lints_are_those_of_the_workspace() -> Outcome<()> {
    for folder in CRATES {
        let manifest = manifest(folder)?;
        let inherits = |section: &str, key: &str| {
            let table = manifest.get(section).and_then(|section| section.as_table());
            let value =
                table.and_then(|table| if key.is_empty() { Some(table) } else { table.get(key)?.as_table() });
            value.and_then(|value| value.get("workspace")).and_then(|w| w.as_bool()) == Some(true)
        };
        assert!(inherits("lints", ""), "{folder}: [lints] workspace = true");
        for key in ["version", "edition", "rust-version", "license"] {
            assert!(inherits("package", key), "{folder}: {key}.workspace = true");
        }
        for section in ["dependencies", "dev-dependencies"] {
            let table = manifest.get(section).and_then(|section| section.as_table());
            for (name, how) in table.into_iter().flatten() {
                let inherited = how.as_table().and_then(|how| how.get("workspace")).is_some();
                assert!(inherited, "{folder}: {name}.workspace = true");
            }
        }
    }
    Ok(())
}

#[test]
fn there_is_one_version_of_what_must_be_one() -> Outcome<()> {
    let lock: Table = std::fs::read_to_string(root()?.join("Cargo.lock"))?.parse()?;
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in lock.get("package").and_then(|packages| packages.as_array()).into_iter().flatten() {
        let text = |key: &str| package.get(key).and_then(|value| value.as_str());
        if let (Some(name), Some(version)) = (text("name"), text("version")) {
            versions.entry(name).or_default().push(version);
        }
    }
    for name in ONE_VERSION {
        let found = versions.get(name).map_or(&[] as &[&str], Vec::as_slice);
        assert_eq!(found.len(), 1, "{name}: {found:?}");
    }
    Ok(())
}

#[test]
fn no_file_is_too_long() -> Outcome<()> {
    let mut too_long = Vec::new();
    for (name, text) in sources()? {
        let lines = text.lines().count();
        if name.contains("/src/") && lines > FILE_LINES_MAX {
            too_long.push(format!("{name}: {lines} lines"));
        }
    }
    assert!(too_long.is_empty(), "more than {FILE_LINES_MAX} lines: {too_long:?}");
    Ok(())
}

#[test]
fn unsafe_stands_only_where_it_is_paid_for() -> Outcome<()> {
    let mut elsewhere = Vec::new();
    for (name, text) in sources()? {
        if UNSAFE_FILES.contains(&name.as_str()) || name.starts_with("executor/kernels/src/") {
            continue;
        }
        for (i, line) in text.lines().enumerate() {
            if has_word(&code_of(line), "unsafe") {
                elsewhere.push(format!("{name}:{}", i + 1));
            }
        }
    }
    assert!(elsewhere.is_empty(), "unsafe in {elsewhere:?}");
    Ok(())
}

#[test]
fn every_file_says_what_it_is_for() -> Outcome<()> {
    let mut silent = Vec::new();
    for (name, text) in sources()? {
        let opens = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("#!["));
        if !opens.is_some_and(|line| line.starts_with("//!")) {
            silent.push(name);
        }
    }
    assert!(silent.is_empty(), "no //! at the top of {silent:?}");
    Ok(())
}

#[test]
fn the_words_of_a_line_are_found_without_its_comment() {
    assert_eq!(code_of("let x = 1; // unsafe"), "let x = 1; /");
    assert!(!has_word(&code_of("assert!(name == \"unsafe\");"), "unsafe"));
    assert!(has_word(&code_of("    unsafe { call() }"), "unsafe"));
    assert!(!has_word(&code_of("unsafe_op_in_unsafe_fn"), "unsafe"));
}
