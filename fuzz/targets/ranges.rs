//! `Range` and `x-amz-copy-source-range`: what is served lies within the object.
//!
//! Input: the object's bytes on a line, then the header's value.
#![no_main]

use kheeper_fuzz::{bounded, numbers_and_rest};
use kheeper_s3::range::{CopyRange, RangeSpec, content_range};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((numbers, header)) = numbers_and_rest(input) else { return };
    let Ok(header) = std::str::from_utf8(header) else { return };
    let total = numbers[0] as u64;
    let Some(spec) = bounded(input, 16, || RangeSpec::parse(header)) else { return };
    assert_eq!(RangeSpec::parse(&spec.to_string()), Some(spec));
    match spec.resolve(total) {
        Ok(range) => {
            assert!(range.start < range.end && range.end <= total, "{spec}: {range:?} of {total}");
            assert!(content_range(&range, total).ends_with(&format!("/{total}")));
            // What is served can be asked for by its exact bytes, and is the same.
            let exact = RangeSpec::FromTo { first: range.start, last: range.end - 1 };
            assert_eq!(exact.resolve(total), Ok(range));
        }
        Err(error) => assert_eq!(error.status(), 416),
    }
    match CopyRange::parse(header) {
        Ok(copied) => assert_eq!(spec, RangeSpec::FromTo { first: copied.first, last: copied.last }),
        Err(error) => assert_eq!(error.status(), 400),
    }
});
