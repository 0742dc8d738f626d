//! fate-tests
