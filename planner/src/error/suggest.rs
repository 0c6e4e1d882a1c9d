//! The nearest name, for "did you mean".

use strsim::damerau_levenshtein;

/// The candidate that `name` most likely means, if one is near: at most a third of its letters differ, ignoring case.
///
/// Ties go to the candidate that comes first in the alphabet, so that messages do not depend on the order of a map.
pub fn suggest<S: AsRef<str>>(name: &str, candidates: impl IntoIterator<Item = S>) -> Option<String> {
    let wanted = name.to_lowercase();
    let limit = (wanted.chars().count().max(3) / 3).clamp(1, 4);
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let candidate = candidate.as_ref();
            // A distance is at least the difference in length, so most candidates need no comparison.
            if candidate == name || candidate.len().abs_diff(wanted.len()) > 4 * limit {
                return None;
            }
            let distance = damerau_levenshtein(&wanted, &candidate.to_lowercase());
            (distance <= limit).then(|| (distance, candidate.to_string()))
        })
        .min()
        .map(|(_, candidate)| candidate)
}
