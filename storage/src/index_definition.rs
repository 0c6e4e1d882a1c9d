//! What an index is, and which sidecars of a segment belong to it.

use crate::ids::FieldId;
use crate::segment::{Segment, Sidecar, SidecarKind};

/// Added to an index's method, the kind of the sidecar that says how well the index answers.
const CALIBRATION: &str = ".calibration";

/// An index as its CREATE INDEX described it. Its files are sidecars of the same method, columns and parameters, one per
/// indexed segment, so that an index needs no list of them and two indexes of one description share theirs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IndexDefinition {
    /// How it works: `hnsw`.
    pub method: String,
    /// The columns it covers.
    pub columns: Vec<FieldId>,
    /// Its parameters, sorted by name.
    pub parameters: Vec<(String, String)>,
}

impl IndexDefinition {
    /// The kind of the sidecars that hold the index itself.
    pub fn kind(&self) -> SidecarKind {
        SidecarKind::Index(self.method.clone())
    }

    /// The kind of the sidecars that say how well the index answers.
    pub fn calibration_kind(&self) -> SidecarKind {
        SidecarKind::Index(format!("{}{CALIBRATION}", self.method))
    }

    /// The index of a segment; `None` where it has not been built yet.
    pub fn index_of<'a>(&self, segment: &'a Segment) -> Option<&'a Sidecar> {
        let is_of_method = |kind: &str| kind == self.method;
        self.find(segment, is_of_method)
    }

    /// How well the index of a segment answers.
    pub fn calibration_of<'a>(&self, segment: &'a Segment) -> Option<&'a Sidecar> {
        let is_of_method = |kind: &str| kind.strip_suffix(CALIBRATION) == Some(self.method.as_str());
        self.find(segment, is_of_method)
    }

    /// Whether a sidecar belongs to an index of this description.
    pub fn owns(&self, sidecar: &Sidecar) -> bool {
        (sidecar.kind == self.kind() || sidecar.kind == self.calibration_kind())
            && sidecar.columns == self.columns
            && sidecar.parameters == self.parameters
    }

    /// The value of a parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn find<'a>(&self, segment: &'a Segment, is_wanted: impl Fn(&str) -> bool) -> Option<&'a Sidecar> {
        segment.sidecars.iter().find(|sidecar| {
            matches!(&sidecar.kind, SidecarKind::Index(kind) if is_wanted(kind))
                && sidecar.columns == self.columns
                && sidecar.parameters == self.parameters
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::FileRef;

    fn definition(metric: &str) -> IndexDefinition {
        let parameters = vec![("metric".to_owned(), metric.to_owned())];
        IndexDefinition { method: "hnsw".into(), columns: vec![FieldId(3)], parameters }
    }

    fn sidecar(kind: SidecarKind, of: &IndexDefinition) -> Sidecar {
        let file = FileRef { path: "seg/x/y".into(), length: 1, blake3: [0; 32] };
        Sidecar { kind, columns: of.columns.clone(), parameters: of.parameters.clone(), format_version: 1, file }
    }

    #[test]
    fn an_index_knows_its_files() {
        let (l2, ip) = (definition("l2"), definition("ip"));
        assert_eq!((l2.parameter("metric"), l2.parameter("m")), (Some("l2"), None));
        for kind in [l2.kind(), l2.calibration_kind()] {
            assert!(l2.owns(&sidecar(kind.clone(), &l2)));
            assert!(!ip.owns(&sidecar(kind.clone(), &l2)), "another metric is another index");
            let other_column = IndexDefinition { columns: vec![FieldId(4)], ..l2.clone() };
            assert!(!other_column.owns(&sidecar(kind, &l2)));
        }
        assert!(!l2.owns(&sidecar(SidecarKind::Vectors, &l2)));
        assert!(!l2.owns(&sidecar(SidecarKind::Index("ivf".into()), &l2)));
    }
}
