//! The time in front of log lines, as `tracing_subscriber::fmt::time::SystemTime` writes it: UTC, to the microsecond.

use std::time::SystemTime;

use time::OffsetDateTime;

/// Appends `2026-11-29T22:40:01.123456Z`.
pub(crate) fn write(time: SystemTime, out: &mut String) {
    let time = OffsetDateTime::from(time);
    let (year, month, day) = time.to_calendar_date();
    let (hour, minute, second, micro) = time.to_hms_micro();
    for (number, width, end) in [
        (u32::try_from(year).unwrap_or_default(), 4, '-'),
        (u8::from(month).into(), 2, '-'),
        (day.into(), 2, 'T'),
        (hour.into(), 2, ':'),
        (minute.into(), 2, ':'),
        (second.into(), 2, '.'),
        (micro, 6, 'Z'),
    ] {
        digits(number.into(), width, out);
        out.push(end);
    }
}

/// Appends a number with no less than `width` digits, at most 20.
pub(crate) fn digits(mut number: u64, width: usize, out: &mut String) {
    let mut digits = [b'0'; 20];
    let mut first = digits.len();
    while number > 0 {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    let first = first.min(digits.len() - width);
    // Digits are text.
    out.push_str(std::str::from_utf8(&digits[first..]).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use tracing_subscriber::fmt::format::Writer;
    use tracing_subscriber::fmt::time::FormatTime as _;

    use super::*;

    fn text(time: SystemTime) -> String {
        let mut out = String::new();
        write(time, &mut out);
        out
    }

    #[test]
    fn every_part_has_its_width() {
        let after = |seconds, nanos| text(UNIX_EPOCH + Duration::new(seconds, nanos));
        assert_eq!(after(0, 0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(
            after(951_868_799, 999_999_999),
            "2000-02-29T23:59:59.999999Z"
        );
        assert_eq!(after(1_795_986_907, 12_345), "2026-11-29T21:15:07.000012Z");
    }

    #[test]
    fn times_are_the_subscribers() {
        let before = text(SystemTime::now());
        let mut theirs = String::new();
        let clock = tracing_subscriber::fmt::time::SystemTime;
        clock.format_time(&mut Writer::new(&mut theirs)).unwrap();
        let after = text(SystemTime::now());
        assert!(
            before <= theirs && theirs <= after,
            "{before} {theirs} {after}"
        );
        assert_eq!(theirs.len(), after.len());
    }
}
