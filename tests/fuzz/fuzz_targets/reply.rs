#![no_main]

fate_fuzz::fuzz!("reply");
