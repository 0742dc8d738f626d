//! fate-testkit
