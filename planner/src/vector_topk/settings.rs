//! What a session's settings say about searches.

use volley_executor::search::FilterStrategy;

/// What holds where the query itself says nothing, as a session extension (`SessionConfig::with_extension`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SearchSettings {
    /// `volley.recall_target`: the least share of the true neighbours, above 0; 1 is exact.
    pub recall_target: f32,
    /// `volley.filter_strategy`.
    pub strategy: FilterStrategy,
    /// `hnsw.ef_search`, where it was set.
    pub ef: Option<usize>,
}

/// The defaults of the settings.
impl Default for SearchSettings {
    fn default() -> Self {
        Self { recall_target: 0.95, strategy: FilterStrategy::Auto, ef: None }
    }
}
