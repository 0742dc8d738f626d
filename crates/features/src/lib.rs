//! fate-features
