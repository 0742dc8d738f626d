//! fate-federation
