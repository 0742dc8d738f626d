//! fate-inference (skeleton)
