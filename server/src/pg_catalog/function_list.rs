//! The functions that can be called, as `pg_proc` lists them.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Signature, TypeSignature};

use super::builtin::{self, BuiltinFunction, FUNCTIONS, PG_CATALOG_OID};
use crate::catalogue::PgType;

/// The OIDs for functions that PostgreSQL has not: below those of users, above those that PostgreSQL gives out.
const OWN_OIDS: std::ops::Range<u32> = 14_000..16_384;

/// Functions that the grammar or the planner knows, so that nobody registers them.
const SPELT_IN_SQL: [&str; 17] = [
    "now",
    "timezone",
    "date_part",
    "extract",
    "overlay",
    "position",
    "substring",
    "like_escape",
    "generate_series",
    "generate_subscripts",
    "unnest",
    "_pg_expandarray",
    "set_config",
    "pg_cancel_backend",
    "pg_terminate_backend",
    "pg_typeof",
    "pg_sleep",
];

/// The functions of a session, by OID.
#[derive(Debug, Default)]
pub struct FunctionList {
    functions: BTreeMap<u32, Callable>,
}

#[derive(Debug)]
enum Callable {
    Builtin(&'static BuiltinFunction),
    Own(Arc<BuiltinFunction>),
}

/// The functions that other objects of the catalogue refer to: they are listed whether or not they can be called.
static REFERRED: LazyLock<HashSet<u32>> = LazyLock::new(|| {
    let of_types =
        builtin::TYPES.iter().flat_map(|found| found.functions.into_iter().chain([found.subscript]));
    let of_operators = builtin::OPERATORS.iter().flat_map(|found| [found.code, found.restrict, found.join]);
    let of_casts = builtin::CASTS.iter().map(|found| found.function);
    of_types.chain(of_operators).chain(of_casts).collect()
});

impl FunctionList {
    /// The functions registered in a session, each with PostgreSQL's signatures where PostgreSQL has it.
    pub fn of(state: &SessionState) -> Self {
        let scalars = state.scalar_functions().iter();
        let scalars = scalars.map(|(name, function)| (name.clone(), 'f', Some(function.signature().clone())));
        let aggregates = state.aggregate_functions().iter();
        let aggregates =
            aggregates.map(|(name, function)| (name.clone(), 'a', Some(function.signature().clone())));
        let windows = state.window_functions().iter();
        let windows = windows.map(|(name, function)| (name.clone(), 'w', Some(function.signature().clone())));
        let tables = state.table_functions().keys().map(|name| (name.clone(), 'f', None));
        Self::of_names(scalars.chain(aggregates).chain(windows).chain(tables))
    }

    fn of_names(registered: impl Iterator<Item = (String, char, Option<Signature>)>) -> Self {
        let mut registered =
            registered.map(|(name, kind, signature)| (name, (kind, signature))).collect::<HashMap<_, _>>();
        let mut functions = BTreeMap::new();
        let mut known = HashSet::new();
        for function in FUNCTIONS.iter() {
            known.insert(&*function.name);
            let callable =
                registered.contains_key(&*function.name) || SPELT_IN_SQL.contains(&&*function.name);
            if callable || REFERRED.contains(&function.oid) {
                functions.insert(function.oid, Callable::Builtin(function));
            }
        }
        // By name, so that the OIDs do not depend on the order of registration.
        let mut own = registered.drain().filter(|(name, _)| !known.contains(&**name)).collect::<Vec<_>>();
        own.sort_by(|(left, _), (right, _)| left.cmp(right));
        for (name, (kind, signature)) in own {
            // Operators of DataFusion that are functions inside have names that no SQL can call.
            if name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
                let oid = free_oid(&name, &functions);
                functions
                    .insert(oid, Callable::Own(Arc::new(own_function(oid, name, kind, signature.as_ref()))));
            }
        }
        Self { functions }
    }

    /// All functions, by OID.
    pub(super) fn iter(&self) -> impl Iterator<Item = &BuiltinFunction> {
        self.functions.values().map(Callable::get)
    }

    /// The function with that OID; PostgreSQL's own are found even where they cannot be called.
    pub(super) fn by_oid(&self, oid: u32) -> Option<&BuiltinFunction> {
        self.functions.get(&oid).map(Callable::get).or_else(|| builtin::function_by_oid(oid))
    }

    /// The functions of that name.
    pub(super) fn by_name<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a BuiltinFunction> {
        self.iter().filter(move |function| function.name == name)
    }
}

impl Callable {
    fn get(&self) -> &BuiltinFunction {
        match self {
            Self::Builtin(function) => function,
            Self::Own(function) => function,
        }
    }
}

/// An OID that follows from the name, so that it stays when other functions come and go.
fn free_oid(name: &str, taken: &BTreeMap<u32, Callable>) -> u32 {
    // FNV-1a, 32 bits.
    let hash =
        name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let count = OWN_OIDS.end - OWN_OIDS.start;
    let candidates = (0..count).map(|step| OWN_OIDS.start + (hash.wrapping_add(step)) % count);
    candidates.into_iter().find(|oid| !taken.contains_key(oid)).unwrap_or(0)
}

fn own_function(oid: u32, name: String, kind: char, signature: Option<&Signature>) -> BuiltinFunction {
    /// The pseudo type that takes any value.
    const ANY: u32 = 2_276;
    let arguments = signature.and_then(|signature| argument_types(&signature.type_signature));
    let (arguments, variadic) = match arguments {
        Some(arguments) => (arguments, 0),
        None => (vec![ANY], ANY),
    };
    BuiltinFunction {
        oid,
        name: Cow::Owned(name),
        namespace: PG_CATALOG_OID,
        language: "i",
        kind: match kind {
            'a' => "a",
            'w' => "w",
            _ => "f",
        },
        volatility: "s",
        strict: false,
        returns_set: signature.is_none(),
        parallel: "s",
        returns: ANY,
        all_arguments: None,
        modes: (variadic != 0).then_some("v"),
        arguments,
        names: None,
        variadic,
        defaults: None,
        default_count: 0,
    }
}

/// The argument types of a signature that has only one form of them.
fn argument_types(signature: &TypeSignature) -> Option<Vec<u32>> {
    let oid = |data_type: &DataType| {
        PgType::of_field(&Field::new("", data_type.clone(), true)).ok().map(|pg_type| pg_type.oid)
    };
    match signature {
        TypeSignature::Exact(types) => types.iter().map(oid).collect(),
        TypeSignature::Uniform(count, types) => {
            let [only] = types.as_slice() else { return None };
            Some(vec![oid(only)?; *count])
        }
        TypeSignature::String(count) => Some(vec![25; *count]),
        TypeSignature::Nullary => Some(Vec::new()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> FunctionList {
        FunctionList::of_names(names.iter().map(|name| ((*name).to_owned(), 'f', None)))
    }

    #[test]
    fn registered_functions_have_postgresqls_signatures_and_others_an_oid_that_stays() {
        let functions = list(&["upper", "histogram2d", "lower"]);
        assert_eq!(functions.by_name("upper").next().unwrap().oid, 871);
        assert!(functions.by_name("split_part").next().is_none());
        let own = functions.by_name("histogram2d").next().unwrap().oid;
        assert!(OWN_OIDS.contains(&own) && builtin::function_by_oid(own).is_none());
        let more = list(&["histogram2d", "zzz", "aaa", "minmax"]);
        assert_eq!(more.by_name("histogram2d").next().unwrap().oid, own);
    }

    #[test]
    fn no_builtin_function_has_an_oid_of_the_range_for_own_ones() {
        assert!(FUNCTIONS.iter().all(|function| !OWN_OIDS.contains(&function.oid)));
        assert!(builtin::TYPES.iter().all(|found| !OWN_OIDS.contains(&found.oid)));
    }
}
