//! fate-benches
