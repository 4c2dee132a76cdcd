//! Which of PostgreSQL's functions of one name a call means, where some of its arguments have no type yet: what
//! parameters get their types from.

use super::builtin::{BuiltinType, CASTS, FUNCTIONS, type_by_oid};

/// Types of an argument that stand for any type, which tell nothing of it.
const PSEUDO_CATEGORY: &str = "P";

/// The argument types of the function `name` that a call means; `known` has the types' OIDs of the arguments that have
/// one. `None` where no function fits or more than one does.
///
/// The choice is that of PostgreSQL's manual, "Function Type Resolution".
pub fn argument_types(name: &str, known: &[Option<u32>]) -> Option<Vec<u32>> {
    let mut candidates: Vec<&[u32]> = FUNCTIONS
        .iter()
        .filter(|function| function.name == name && function.arguments.len() == known.len())
        .map(|function| function.arguments.as_slice())
        .filter(|types| fits(types, known))
        .collect();
    keep_best(&mut candidates, |types| count(types, known, |wanted, given| wanted == given));
    keep_best(&mut candidates, |types| {
        count(types, known, |wanted, given| wanted == given || is_preferred(wanted))
    });
    for place in known.iter().enumerate().filter(|(_, known)| known.is_none()).map(|(place, _)| place) {
        choose_category(&mut candidates, place);
    }
    match candidates.as_slice() {
        [only] => Some(only.to_vec()),
        _ => None,
    }
}

/// Narrows the candidates by an argument without a type: text where one takes text, else the one category that all
/// have, and its preferred type where one takes that.
fn choose_category(candidates: &mut Vec<&[u32]>, place: usize) {
    let at = |types: &[u32]| types.get(place).and_then(|oid| type_by_oid(*oid));
    let categories: Vec<&str> =
        candidates.iter().filter_map(|types| at(types)).map(|found| found.category).collect();
    let text = categories.iter().find(|category| **category == "S");
    let Some(chosen) = text.or(categories.first()).copied() else { return };
    if chosen != "S" && categories.iter().any(|category| *category != chosen) {
        return;
    }
    candidates.retain(|types| at(types).is_some_and(|found| found.category == chosen));
    if candidates.iter().any(|types| at(types).is_some_and(|found| found.preferred)) {
        candidates.retain(|types| at(types).is_some_and(|found| found.preferred));
    }
}

fn fits(types: &[u32], known: &[Option<u32>]) -> bool {
    types.iter().zip(known).all(|(wanted, given)| {
        given.is_none_or(|given| {
            *wanted == given
                || type_by_oid(*wanted).is_some_and(|wanted| wanted.category == PSEUDO_CATEGORY)
                || converts(given, *wanted)
        })
    })
}

/// Whether a type is cast to another by itself.
fn converts(source: u32, target: u32) -> bool {
    CASTS.iter().any(|cast| cast.source == source && cast.target == target && cast.context == "i")
}

fn is_preferred(oid: u32) -> bool {
    type_by_oid(oid).is_some_and(|found: &BuiltinType| found.preferred)
}

fn count(types: &[u32], known: &[Option<u32>], good: impl Fn(u32, u32) -> bool) -> usize {
    types.iter().zip(known).filter(|(wanted, given)| given.is_some_and(|given| good(**wanted, given))).count()
}

fn keep_best(candidates: &mut Vec<&[u32]>, score: impl Fn(&[u32]) -> usize) {
    let best = candidates.iter().map(|types| score(types)).max().unwrap_or(0);
    candidates.retain(|types| score(types) == best);
}

#[cfg(test)]
mod tests {
    use super::argument_types;

    const INT4: u32 = 23;
    const FLOAT8: u32 = 701;
    const NUMERIC: u32 = 1700;
    const TEXT: u32 = 25;

    #[test]
    fn arguments_without_a_type_get_what_postgresql_gives_them() {
        assert_eq!(argument_types("abs", &[None]), Some(vec![FLOAT8]));
        assert_eq!(argument_types("round", &[None, Some(INT4)]), Some(vec![NUMERIC, INT4]));
        assert_eq!(argument_types("mod", &[None, Some(INT4)]), Some(vec![INT4, INT4]));
        assert_eq!(argument_types("power", &[None, Some(INT4)]), Some(vec![FLOAT8, FLOAT8]));
        assert_eq!(argument_types("length", &[None]), Some(vec![TEXT]));
        assert_eq!(argument_types("sum", &[None]), None);
        assert_eq!(argument_types("no_such_function", &[None]), None);
    }
}
