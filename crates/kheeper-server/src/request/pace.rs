//! Whether a body comes fast enough, where the operator asks for that: bytes over the time that was spent waiting for
//! them, so that a slow disk here is not held against the sender.

use std::time::Duration;

/// A body is judged each time it was waited for so long.
const WINDOW: Duration = Duration::from_secs(60);

/// The pace of one body.
#[derive(Debug)]
pub(crate) struct Pace {
    bytes_per_sec_min: u64,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    /// A body that must bring so many bytes a second; 0 is any number, as long as they come.
    pub(crate) fn new(bytes_per_sec_min: u64) -> Self {
        Self { bytes_per_sec_min, waited: Duration::ZERO, bytes: 0 }
    }

    /// Takes note of `bytes` that came after a wait. False if the last minute brought too few.
    #[must_use]
    pub(crate) fn goes_on(&mut self, waited: Duration, bytes: usize) -> bool {
        self.waited += waited;
        self.bytes += bytes as u64;
        if self.waited < WINDOW {
            return true;
        }
        let enough = u128::from(self.bytes) * 1000 >= u128::from(self.bytes_per_sec_min) * self.waited.as_millis();
        (self.waited, self.bytes) = (Duration::ZERO, 0);
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many seconds a body of a byte a second lives.
    fn secs_lived(bytes_per_sec_min: u64, bytes_per_sec: usize) -> Option<u64> {
        let mut pace = Pace::new(bytes_per_sec_min);
        (1..=600).find(|_| !pace.goes_on(Duration::from_secs(1), bytes_per_sec))
    }

    #[test]
    fn a_body_slower_than_the_minimum_ends_after_a_minute() {
        assert_eq!(secs_lived(100, 99), Some(60));
        assert_eq!(secs_lived(100, 100), None);
    }

    #[test]
    fn without_a_minimum_a_byte_a_second_is_enough() {
        assert_eq!(secs_lived(0, 1), None);
    }

    #[test]
    fn time_that_the_server_took_does_not_count() {
        let mut pace = Pace::new(1000);
        assert!((0..1000).all(|_| pace.goes_on(Duration::ZERO, 1)));
    }
}
