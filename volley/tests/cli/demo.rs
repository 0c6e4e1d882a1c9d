//! `volley demo` runs and its results are right.

use super::program::{Data, volley};

#[test]
fn the_demo_computes_what_is_known() {
    let out = volley(&["demo"]).ok();
    for expected in [
        // Loaded and counted.
        "COPY 4799",
        "COPY 11027",
        "    4799 | ",
        " verb.motion  |    1408 | ",
        // Nearest to the ducks and geese, without and with a filter.
        " goose ",
        " poultry ",
        "VectorTopK",
        // Independent answers: 20 sentences, ten neighbours each.
        "                 200 |                  200",
        // The deletion, and the check at the end.
        "DELETE 1",
        "everything is in order",
    ] {
        assert!(out.contains(expected), "{expected:?} is missing in\n{out}");
    }
    assert!(!out.contains("checked 0 files"), "{out}");
    let (_, after) = out.split_once("without animals").expect("the last search");
    assert!(!after.contains(" goose "), "{after}");
}

#[test]
fn the_demo_can_be_kept_and_does_not_overwrite() {
    let data = Data::new();
    let out = volley(&["demo", "-d", &data.path()]).ok();
    assert!(out.contains(&format!("volley -d {}", data.path())), "{out}");
    assert_eq!(data.values("SELECT count(*) FROM queries"), "20");
    let ran = volley(&["demo", "-d", &data.path()]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("synsets"), "{ran:?}");
}
