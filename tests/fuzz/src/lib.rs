//! What the fuzzer's binaries share: the macro that makes one, the limit on memory, and a mutator for messages.

pub mod memory;
pub mod messages;

pub use libfuzzer_sys;

use fate_tests::targets::Target;

/// A binary for the target of that name.
#[macro_export]
macro_rules! fuzz {
    ($name:literal) => {
        #[global_allocator]
        static MEMORY: $crate::memory::Limited = $crate::memory::Limited;

        static TARGET: std::sync::LazyLock<fate_tests::targets::Target> =
            std::sync::LazyLock::new(|| {
                fate_tests::targets::target($name).unwrap_or_else(|| panic!("no target {}", $name))
            });

        $crate::libfuzzer_sys::fuzz_target!(|input: &[u8]| {
            $crate::run(*TARGET, input);
        });
    };
}

/// Runs a target within the limit of memory.
pub fn run(target: Target, input: &[u8]) {
    memory::start();
    (target.run)(input);
}
