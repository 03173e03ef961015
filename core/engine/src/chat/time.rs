//! `strftime_now`: a date for templates that tell the model what day it is, in the C locale and without a time zone database.

use std::fmt::Write as _;

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const SECONDS_PER_DAY: i64 = 86_400;

/// The furthest moment on either side of 1970, in seconds: the years -9999 to 9999 are more than enough.
const FURTHEST: i64 = 250_000_000_000;

/// A moment on the wall clock of wherever the phone is.
///
/// A session keeps one for its whole life: a prompt that names the date must not change at midnight, or nothing of the
/// cached conversation could be used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalTime {
    /// Seconds since 1970-01-01 00:00 on that clock.
    seconds: i64,
}

impl LocalTime {
    /// A moment from UTC seconds since 1970 and the clock's offset east of UTC, in seconds.
    /// Moments more than some eight thousand years away are moved to that edge.
    pub fn new(unix_seconds: i64, utc_offset_seconds: i32) -> LocalTime {
        let seconds = unix_seconds.saturating_add(i64::from(utc_offset_seconds));
        LocalTime { seconds: seconds.clamp(-FURTHEST, FURTHEST) }
    }

    /// The moment by a C `strftime` pattern. What is not known (a time zone's name) becomes nothing; an unknown letter stays.
    pub(super) fn format(self, pattern: &str) -> String {
        let fields = Fields::from(self);
        let mut out = String::new();
        let mut chars = pattern.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            match chars.next() {
                None => out.push('%'),
                // glibc: `%-d` is a number without its padding.
                Some('-') => match chars.next() {
                    Some(letter) => {
                        let mut padded = String::new();
                        fields.write(letter, &mut padded);
                        let bare = padded.trim_start_matches(['0', ' ']);
                        out.push_str(if bare.is_empty() && !padded.is_empty() { "0" } else { bare });
                    }
                    None => out.push_str("%-"),
                },
                Some(letter) => fields.write(letter, &mut out),
            }
        }
        out
    }
}

struct Fields {
    year: i64,
    /// From 1.
    month: usize,
    day: i64,
    /// From 0, 1 January.
    day_of_year: i64,
    /// From 0, Sunday.
    weekday: usize,
    hour: i64,
    minute: i64,
    second: i64,
    unix: i64,
}

impl From<LocalTime> for Fields {
    fn from(time: LocalTime) -> Fields {
        let days = time.seconds.div_euclid(SECONDS_PER_DAY);
        let within = time.seconds.rem_euclid(SECONDS_PER_DAY);
        let (year, month, day) = civil(days);
        Fields {
            year,
            month,
            day,
            day_of_year: days - days_before_year(year),
            weekday: (days + 4).rem_euclid(7) as usize, // 1970-01-01 was a Thursday
            hour: within / 3600,
            minute: within / 60 % 60,
            second: within % 60,
            unix: time.seconds,
        }
    }
}

impl Fields {
    fn write(&self, letter: char, out: &mut String) {
        let hour12 = (self.hour + 11) % 12 + 1;
        let result = match letter {
            'Y' => write!(out, "{}", self.year),
            'y' => write!(out, "{:02}", self.year.rem_euclid(100)),
            'C' => write!(out, "{:02}", self.year.div_euclid(100)),
            'm' => write!(out, "{:02}", self.month),
            'd' => write!(out, "{:02}", self.day),
            'e' => write!(out, "{:2}", self.day),
            'j' => write!(out, "{:03}", self.day_of_year + 1),
            'B' => write!(out, "{}", MONTHS[self.month - 1]),
            'b' | 'h' => write!(out, "{}", &MONTHS[self.month - 1][..3]),
            'A' => write!(out, "{}", DAYS[self.weekday]),
            'a' => write!(out, "{}", &DAYS[self.weekday][..3]),
            'w' => write!(out, "{}", self.weekday),
            'u' => write!(out, "{}", (self.weekday + 6) % 7 + 1),
            'U' => write!(out, "{:02}", (self.day_of_year + 7 - self.weekday as i64) / 7),
            'W' => write!(out, "{:02}", (self.day_of_year + 7 - (self.weekday as i64 + 6) % 7) / 7),
            'H' => write!(out, "{:02}", self.hour),
            'I' => write!(out, "{hour12:02}"),
            'k' => write!(out, "{:2}", self.hour),
            'l' => write!(out, "{hour12:2}"),
            'M' => write!(out, "{:02}", self.minute),
            'S' => write!(out, "{:02}", self.second),
            'f' => write!(out, "000000"),
            's' => write!(out, "{}", self.unix),
            'p' => write!(out, "{}", if self.hour < 12 { "AM" } else { "PM" }),
            'D' | 'x' => write!(out, "{:02}/{:02}/{:02}", self.month, self.day, self.year.rem_euclid(100)),
            'F' => write!(out, "{}-{:02}-{:02}", self.year, self.month, self.day),
            'T' | 'X' => write!(out, "{:02}:{:02}:{:02}", self.hour, self.minute, self.second),
            'R' => write!(out, "{:02}:{:02}", self.hour, self.minute),
            'c' => write!(
                out,
                "{} {} {:2} {:02}:{:02}:{:02} {}",
                &DAYS[self.weekday][..3],
                &MONTHS[self.month - 1][..3],
                self.day,
                self.hour,
                self.minute,
                self.second,
                self.year
            ),
            'n' => out.write_char('\n'),
            't' => write!(out, "\t"),
            '%' => write!(out, "%"),
            'z' | 'Z' => Ok(()),
            other => write!(out, "%{other}"),
        };
        result.expect("a String takes every write");
    }
}

/// Days from 1970-01-01 to 1 January of `year` in the Gregorian calendar.
fn days_before_year(year: i64) -> i64 {
    let before = year - 1;
    before * 365 + before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400) - 719_162
}

/// Year, month (from 1) and day (from 1) of a day counted from 1970-01-01.
fn civil(days: i64) -> (i64, usize, i64) {
    // 400 years have 146,097 days: the guess is at most one year off.
    let mut year = 1970 + (days * 400).div_euclid(146_097);
    while days_before_year(year) > days {
        year -= 1;
    }
    while days_before_year(year + 1) <= days {
        year += 1;
    }
    let leap = days_before_year(year + 1) - days_before_year(year) == 366;
    let mut day = days - days_before_year(year);
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while day >= lengths[month] {
        day -= lengths[month];
        month += 1;
    }
    (year, month + 1, day + 1)
}

#[cfg(test)]
mod tests {
    use super::LocalTime;

    #[test]
    fn dates_are_those_of_python_strftime() {
        // Expected: datetime.datetime(…).strftime(pattern) of CPython 3 on glibc.
        let cases = [
            (0, "%Y-%m-%d %H:%M:%S", "1970-01-01 00:00:00"),
            (0, "%A %a %B %b %j %w %u", "Thursday Thu January Jan 001 4 4"),
            (1_709_210_096, "%d %b %Y %I:%M %p", "29 Feb 2024 12:34 PM"),
            (1_709_210_096, "%-d %-m %-I %e %U %W %y", "29 2 12 29 08 09 24"),
            (1_735_689_599, "%F %T %j %U %W", "2024-12-31 23:59:59 366 52 53"),
            (-1, "%c|%D|%R", "Wed Dec 31 23:59:59 1969|12/31/69|23:59"),
            (951_782_400, "%d.%m.%Y 100%%", "29.02.2000 100%"),
            (4_107_542_400, "%a %d %B %Y", "Mon 01 March 2100"),
            (0, "%-H %-d", "0 1"),
            (0, "%", "%"),
        ];
        for (seconds, pattern, expected) in cases {
            assert_eq!(LocalTime::new(seconds, 0).format(pattern), expected, "{seconds} {pattern}");
        }
    }

    #[test]
    fn an_offset_moves_the_clock() {
        assert_eq!(LocalTime::new(0, 3600).format("%H"), "01");
        assert_eq!(LocalTime::new(0, -3600).format("%d %H"), "31 23");
    }

    #[test]
    fn moments_beyond_any_calendar_are_moved_to_its_edge() {
        assert_eq!(LocalTime::new(i64::MAX, i32::MAX).format("%Y"), "9892");
        assert_eq!(LocalTime::new(i64::MIN, i32::MIN).format("%Y"), "-5953");
    }
}
