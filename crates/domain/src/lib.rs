//! fate-domain
