#![no_main]

fate_fuzz::fuzz!("buffers");

libfuzzer_sys::fuzz_mutator!(
    |input: &mut [u8], size: usize, max_size: usize, seed: u32| {
        fate_fuzz::messages::mutate(input, size, max_size, seed)
    }
);
