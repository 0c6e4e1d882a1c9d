//! How well an index answers: recall and effort, measured on samples.
//!
//! A graph has no formula for its recall. So each index is asked questions whose answers are known, at growing effort,
//! and what comes out is kept beside it:
//!
//! ```text
//! recall        k = 10, every row allowed             one Curve per (k, share of rows allowed)
//! 1.00 ┤                    ●───●                     one Point per beam width `ef`:
//! 0.98 ┤            ●───●                               mean recall over the samples, its standard error,
//! 0.95 ┤       ●                                        distances that the traversal computed
//! 0.90 ┤   ●
//!      └───┴───┴────┴───┴───┴───┴── ef
//! ```
//!
//! [`crate::cost`] reads the curves backwards: from the recall that is wanted to the effort that it takes. Samples are rows
//! of the segment, each treated as absent while it is searched for, or query vectors that the user gives; the latter are
//! right also where queries are not distributed like the rows.
//!
//! | module | what it holds |
//! |---|---|
//! | here | the curves and how they are read |
//! | `encoding` | their bytes |
//! | `measure` | making them: recall and distances by effort |
//! | `samples` | what is searched for in doing so |
//! | `costs` | what distances cost on this machine |

mod costs;
mod encoding;
mod measure;
mod samples;
#[cfg(test)]
mod tests;

pub use measure::{MeasureRequest, measure};

/// What was measured of one index.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// What the samples were.
    pub source: Source,
    /// How many samples there were.
    pub samples: u32,
    /// One per (share of rows allowed, k), in no particular order.
    pub curves: Vec<Curve>,
    /// What things cost on the machine that measured.
    pub costs: Costs,
    /// How long the build of the index took, in milliseconds.
    pub build_ms: u64,
}

/// What the samples were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Rows of the segment.
    Rows,
    /// Queries that the user gave.
    Queries,
}

impl Source {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Source::Rows => "rows",
            Source::Queries => "queries",
        }
    }
}

/// Recall by effort, for one k and one share of rows allowed.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// The share of the rows in the graph that could be found, in (0, 1]: a random filter allowed them, and they were not
    /// deleted.
    pub selectivity: f32,
    /// Neighbours asked for.
    pub k: u32,
    /// How many samples were searched for.
    pub samples: u32,
    /// By ascending `ef`.
    pub points: Vec<Point>,
}

/// One beam width.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// The beam width.
    pub ef: u32,
    /// The mean share of the k true neighbours that were found, compared by distance.
    pub recall: f32,
    /// The standard error of that mean.
    pub error: f32,
    /// The mean number of distances computed.
    pub distances: f32,
}

/// Nanoseconds of one thread.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Costs {
    /// Per distance of a traversal, everything else of the traversal included.
    pub walk_ns: f32,
    /// Per row of an exact scan over neighbouring rows.
    pub scan_ns: f32,
    /// Per row of an exact scan over scattered rows.
    pub gather_ns: f32,
}

/// What it takes to reach a recall.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effort {
    /// The beam width.
    pub ef: f32,
    /// The recall to expect there: the mean, which lies above what was asked for.
    pub recall: f32,
    /// The distances to expect.
    pub distances: f32,
    /// The samples that this was seen on.
    pub samples: u32,
}

/// A mean recall counts as reached when it is so many standard errors above the target: one-sided 95 %.
const CONFIDENCE: f32 = 1.645;

impl Curve {
    /// The least effort whose recall is at least `target` with 95 % confidence; `None` where no measured effort reaches it.
    /// Where it is one of several `parts` whose mean has to reach the target, each may be that much less certain.
    ///
    /// Between two points everything is interpolated linearly; samples are noisy, so a bound that was reached once counts
    /// as reached by more effort as well.
    pub fn effort(&self, target: f32, parts: usize) -> Option<Effort> {
        let errors = CONFIDENCE / (parts.max(1) as f32).sqrt();
        let bound = |point: &Point| point.recall - errors * point.error;
        let index = self.points.iter().position(|point| bound(point) >= target)?;
        let above = self.points[index];
        let Some(below) = index.checked_sub(1).map(|before| self.points[before]) else {
            return Some(self.of(&above));
        };
        let (from, to) = (bound(&below), bound(&above));
        let part = if to > from { ((target - from) / (to - from)).clamp(0.0, 1.0) } else { 1.0 };
        let between = |a: f32, b: f32| a + (b - a) * part;
        Some(Effort {
            ef: between(below.ef as f32, above.ef as f32),
            recall: between(below.recall, above.recall),
            distances: between(below.distances, above.distances),
            samples: self.samples,
        })
    }

    fn of(&self, point: &Point) -> Effort {
        let Point { ef, recall, distances, .. } = *point;
        Effort { ef: ef as f32, recall, distances, samples: self.samples }
    }

    /// What a given beam width brings.
    pub fn at(&self, ef: f32) -> Option<Effort> {
        let first = self.points.first()?;
        let last = self.points.last()?;
        let index = self.points.partition_point(|point| (point.ef as f32) < ef);
        if index == 0 {
            return Some(Effort { ef, ..self.of(first) });
        }
        let Some(above) = self.points.get(index) else {
            return Some(Effort { ef, distances: last.distances * ef / last.ef as f32, ..self.of(last) });
        };
        let below = self.points[index - 1];
        let part = (ef - below.ef as f32) / (above.ef as f32 - below.ef as f32);
        let between = |a: f32, b: f32| a + (b - a) * part;
        Some(Effort {
            ef,
            recall: between(below.recall, above.recall),
            distances: between(below.distances, above.distances),
            samples: self.samples,
        })
    }
}

impl Calibration {
    /// The least effort for `k` neighbours among a share of the rows, of which there are several `parts`; `None` where the
    /// target cannot be reached. See [`Curve::effort`].
    pub fn effort(&self, k: usize, selectivity: f32, target: f32, parts: usize) -> Option<Effort> {
        self.interpolated(k, selectivity, &|curve| curve.effort(target, parts), &|last| {
            // Beyond what was measured effort grows with k, as a beam cannot be narrower than what it brings.
            let effort = last.effort(target, parts)?;
            let times = k as f32 / last.k as f32;
            Some(Effort { ef: effort.ef * times, distances: effort.distances * times, ..effort })
        })
    }

    /// What a given beam width brings for `k` neighbours among a share of the rows.
    pub fn at(&self, k: usize, selectivity: f32, ef: f32) -> Option<Effort> {
        self.interpolated(k, selectivity, &|curve| curve.at(ef), &|last| {
            // More neighbours than were measured: the same beam is a smaller multiple of them.
            let recall = last.at(ef * last.k as f32 / k as f32)?.recall;
            Some(Effort { recall, ..last.at(ef)? })
        })
    }

    /// Reads the curves nearest to (k, selectivity) and interpolates, in the logarithm of both; `beyond` reads the curve of
    /// the largest k for one that is larger.
    fn interpolated(
        &self,
        k: usize,
        selectivity: f32,
        read: &dyn Fn(&Curve) -> Option<Effort>,
        beyond: &dyn Fn(&Curve) -> Option<Effort>,
    ) -> Option<Effort> {
        self.across_selectivities(selectivity, &|selectivity| {
            let mut curves = self.curves_of(selectivity);
            curves.sort_by_key(|curve| curve.k);
            let at = curves.partition_point(|curve| (curve.k as usize) < k);
            match (at.checked_sub(1).and_then(|below| curves.get(below)), curves.get(at)) {
                (None, None) => None,
                (None, Some(only)) => read(only),
                (Some(last), None) => beyond(last),
                (Some(below), Some(above)) => Some(between(read(below)?, read(above)?, log_part(below.k, above.k, k))),
            }
        })
    }

    fn across_selectivities(&self, selectivity: f32, read: &dyn Fn(f32) -> Option<Effort>) -> Option<Effort> {
        let shares = self.selectivities();
        let at = shares.partition_point(|share| *share < selectivity);
        match (at.checked_sub(1).and_then(|below| shares.get(below)), shares.get(at)) {
            (None, None) => None,
            // Rarer than measured: the traversal passes by more rows for each that it may keep.
            (None, Some(&least)) => {
                let effort = read(least)?;
                Some(Effort { distances: effort.distances * least / selectivity.max(f32::MIN_POSITIVE), ..effort })
            }
            (Some(&most), None) => read(most),
            (Some(&below), Some(&above)) => {
                let part = (selectivity.ln() - below.ln()) / (above.ln() - below.ln());
                Some(between(read(below)?, read(above)?, part))
            }
        }
    }

    /// The shares of rows that were measured, ascending.
    fn selectivities(&self) -> Vec<f32> {
        let mut shares: Vec<f32> = self.curves.iter().map(|curve| curve.selectivity).collect();
        shares.sort_by(f32::total_cmp);
        shares.dedup();
        shares
    }

    fn curves_of(&self, selectivity: f32) -> Vec<&Curve> {
        self.curves.iter().filter(|curve| curve.selectivity == selectivity).collect()
    }
}

fn log_part(below: u32, above: u32, k: usize) -> f32 {
    let (below, above, k) = ((below as f32).ln(), (above as f32).ln(), (k.max(1) as f32).ln());
    if above > below { (k - below) / (above - below) } else { 1.0 }
}

/// Between two efforts: sizes in their logarithm, recall linearly.
fn between(a: Effort, b: Effort, part: f32) -> Effort {
    let log = |a: f32, b: f32| (a.max(1.0).ln() * (1.0 - part) + b.max(1.0).ln() * part).exp();
    Effort {
        ef: log(a.ef, b.ef),
        recall: a.recall + (b.recall - a.recall) * part,
        distances: log(a.distances, b.distances),
        samples: a.samples.min(b.samples),
    }
}
