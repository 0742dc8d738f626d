#![no_main]

fate_fuzz::fuzz!("archive");
