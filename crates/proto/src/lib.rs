//! fate-proto
