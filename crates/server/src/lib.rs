//! fate-server
