//! fate-model
