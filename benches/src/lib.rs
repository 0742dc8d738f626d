//! Benchmarks, peers included. Empty until there is something to measure against; `fate-serving demo` prints latencies.
