//! Nothing but a list of dependencies: one set of third-party features for every build selection.
