//! What `information_schema` and generated documentation say about each function.

use std::collections::HashMap;
use std::sync::LazyLock;

use datafusion::logical_expr::{DocSection, Documentation};

const VECTORS: DocSection = DocSection {
    include: true,
    label: "Vector Functions",
    description: Some("Functions over vector(n). Vectors may also be given as text '[1,2,3]' or as arrays of numbers."),
};

const SESSION: DocSection = DocSection { include: true, label: "Session Information Functions", description: None };

/// Name, section, description, syntax, example.
type Entry = (&'static str, DocSection, &'static str, &'static str, &'static str);

const ENTRIES: &[Entry] = &[
    (
        "l2_distance",
        VECTORS,
        "Euclidean distance, the operator <->. NULL if either vector is NULL.",
        "l2_distance(a, b)",
        "SELECT l2_distance('[0,0]', '[3,4]'); -- 5",
    ),
    (
        "cosine_distance",
        VECTORS,
        "1 minus the cosine of the angle, the operator <=>. NULL if either vector is NULL or all zeros.",
        "cosine_distance(a, b)",
        "SELECT cosine_distance('[1,0]', '[0,1]'); -- 1",
    ),
    (
        "negative_inner_product",
        VECTORS,
        "The negated inner product, the operator <#>: smaller is nearer. NULL if either vector is NULL.",
        "negative_inner_product(a, b)",
        "SELECT negative_inner_product('[1,2]', '[3,4]'); -- -11",
    ),
    (
        "inner_product",
        VECTORS,
        "The inner product. NULL if either vector is NULL.",
        "inner_product(a, b)",
        "SELECT inner_product('[1,2]', '[3,4]'); -- 11",
    ),
    (
        "l1_distance",
        VECTORS,
        "Taxicab distance, the operator <+>. NULL if either vector is NULL.",
        "l1_distance(a, b)",
        "SELECT l1_distance('[0,0]', '[3,4]'); -- 7",
    ),
    (
        "vector_dims",
        VECTORS,
        "The number of dimensions of a vector.",
        "vector_dims(v)",
        "SELECT vector_dims('[1,2,3]'); -- 3",
    ),
    ("l2_norm", VECTORS, "The Euclidean length of a vector.", "l2_norm(v)", "SELECT l2_norm('[3,4]'); -- 5"),
    (
        "l2_normalize",
        VECTORS,
        "The vector divided by its Euclidean length; the zero vector stays zero.",
        "l2_normalize(v)",
        "SELECT l2_normalize('[3,4]'); -- [0.6,0.8]",
    ),
    (
        "vector_add",
        VECTORS,
        "Element-wise sum, the operator +.",
        "vector_add(a, b)",
        "SELECT vector_add('[1,2]', '[3,4]'); -- [4,6]",
    ),
    (
        "vector_sub",
        VECTORS,
        "Element-wise difference, the operator -.",
        "vector_sub(a, b)",
        "SELECT vector_sub('[1,2]', '[3,5]'); -- [-2,-3]",
    ),
    (
        "vector_mul",
        VECTORS,
        "Element-wise product, the operator *.",
        "vector_mul(a, b)",
        "SELECT vector_mul('[1,2]', '[3,4]'); -- [3,8]",
    ),
    (
        "to_vector",
        VECTORS,
        "Casts text or an array of numbers to vector(n); without n, of a constant, to its own number of dimensions.",
        "to_vector(value [, n])",
        "SELECT to_vector(ARRAY[1, 2, 3], 3);",
    ),
    (
        "try_to_vector",
        VECTORS,
        "Like to_vector, but NULL where the value is not such a vector.",
        "try_to_vector(value [, n])",
        "SELECT try_to_vector('[1,x]', 2); -- NULL",
    ),
    (
        "vector_to_text",
        VECTORS,
        "A vector as text.",
        "vector_to_text(v)",
        "SELECT vector_to_text(to_vector('[1, 2]')); -- [1,2]",
    ),
    (
        "vector_to_array",
        VECTORS,
        "A vector as an array of real.",
        "vector_to_array(v)",
        "SELECT vector_to_array('[1,2]');",
    ),
    (
        "exact",
        VECTORS,
        "Returns the distance and demands that ORDER BY ... LIMIT over it looks at every qualifying row.",
        "exact(distance)",
        "SELECT id FROM docs ORDER BY exact(emb <=> '[1,2,3]') LIMIT 10;",
    ),
    (
        "approx",
        VECTORS,
        "Returns the distance and demands that ORDER BY ... LIMIT over it finds at least this share of the nearest.",
        "approx(distance, recall => r)",
        "SELECT id FROM docs ORDER BY approx(emb <=> '[1,2,3]', recall => 0.99) LIMIT 10;",
    ),
    ("version", SESSION, "The version of Volley.", "version()", "SELECT version();"),
    (
        "current_schema",
        SESSION,
        "The schema where names are looked up.",
        "current_schema()",
        "SELECT current_schema();",
    ),
    (
        "current_database",
        SESSION,
        "The catalog where names are looked up.",
        "current_database()",
        "SELECT current_database();",
    ),
    ("current_user", SESSION, "The user whose session it is.", "current_user", "SELECT current_user;"),
    ("session_user", SESSION, "The user whose session it is.", "session_user", "SELECT session_user;"),
    ("user", SESSION, "The user whose session it is.", "user", "SELECT user;"),
];

static DOCUMENTATION: LazyLock<HashMap<&'static str, Documentation>> = LazyLock::new(|| {
    let build = |(name, section, description, syntax, example): &Entry| {
        let page = Documentation::builder(section.clone(), *description, *syntax)
            .with_sql_example(format!("```sql\n{example}\n```"))
            .build();
        (*name, page)
    };
    ENTRIES.iter().map(build).collect()
});

/// The page of a function.
pub(super) fn of(function: &str) -> Option<&'static Documentation> {
    DOCUMENTATION.get(function)
}
