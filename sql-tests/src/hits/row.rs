//! How one page view is drawn: few sites, users and pages have most of the views, and what belongs to a user or a page is the
//! same in each of theirs.

use rand::Rng;
use rand::rngs::SmallRng;

use super::text::{mix, phrase, skewed, title, url};

/// How many phases of loading a page are timed.
pub const TIMINGS: usize = 20;

/// The first moment, 2024-07-01 00:00 UTC, in microseconds.
pub const BEGIN_US: i64 = 1_719_792_000_000_000;

const MINUTE_US: i64 = 60_000_000;
const DAY_US: i64 = 24 * 60 * MINUTE_US;
const DAYS: i64 = 31;
const SITES: u64 = 2_000;
const PAGES_PER_SITE: u64 = 20_000;
const PHRASES: u64 = 60_000;
const COUNTRIES: [&str; 10] = ["DE", "FR", "PL", "ES", "IT", "NL", "CZ", "SE", "AT", "PT"];
const MODELS: [&str; 8] = ["Aster 5", "Aster 6", "Brio", "Brio Max", "Corvus One", "Delta X", "Echo 2", "Fjord"];
const WIDTHS: [(i16, i16); 6] = [(1920, 1080), (1366, 768), (1536, 864), (2560, 1440), (1280, 720), (3840, 2160)];

/// One page view.
#[derive(Debug, Clone)]
pub struct Hit {
    /// Unique, ascending.
    pub id: i64,
    /// When, in microseconds since 1970.
    pub time_us: i64,
    /// Who.
    pub user: i64,
    /// The user's visit: a day of theirs.
    pub session: i64,
    /// Where; 0 is the most visited site.
    pub site: i32,
    /// The user's region; 0 is the most common one.
    pub region: i32,
    /// The user's country.
    pub country: &'static str,
    /// The page's address.
    pub url: String,
    /// The page's title.
    pub title: String,
    /// The address of the page before, or empty.
    pub referer: String,
    /// What the user looked for, mostly empty.
    pub phrase: String,
    /// Where they looked for it, 0 if nowhere.
    pub engine: i16,
    /// The user's operating system.
    pub os: i16,
    /// The user's browser.
    pub browser: i16,
    /// The user's telephone, or empty.
    pub model: &'static str,
    /// Pixels across and down.
    pub screen: (i16, i16),
    /// Whether the page was loaded again.
    pub is_refresh: bool,
    /// The advertisement that led here, mostly 0.
    pub ad: i32,
    /// What was bought for, mostly nothing.
    pub price: Option<f64>,
    /// Bytes that were sent.
    pub sent: i32,
    /// Milliseconds of each phase of loading.
    pub timings_ms: [i32; TIMINGS],
}

impl Hit {
    /// The page view of this number among so many.
    pub fn draw(number: usize, rows: usize, rng: &mut SmallRng) -> Self {
        let users = rows as u64 / 6 + 1;
        let user = if rng.random_bool(0.3) { skewed(rng.random(), users) } else { rng.random_range(0..users) };
        let of_user = mix(user ^ 0xface);
        let site = skewed(rng.random(), SITES);
        let page = skewed(rng.random(), PAGES_PER_SITE);
        // Roughly in the order of time, as a log is written.
        let moment = number as f64 / rows as f64 * (DAYS * DAY_US - 10 * MINUTE_US) as f64;
        let time_us = BEGIN_US + moment as i64 + rng.random_range(0..10 * MINUTE_US);
        let day = (time_us - BEGIN_US) / DAY_US;
        let is_mobile = of_user % 10 < 4;
        let searched = rng.random_bool(0.13);
        let phrase = if searched { phrase(skewed(rng.random(), PHRASES)) } else { String::new() };
        Self {
            id: number as i64,
            time_us,
            user: (of_user >> 1) as i64,
            session: (mix(of_user ^ day as u64) >> 1) as i64,
            site: site as i32,
            region: skewed((of_user >> 40) as f64 / f64::from(1 << 24), 5_000) as i32,
            country: COUNTRIES[skewed((of_user >> 32 & 0xff) as f64 / 256.0, COUNTRIES.len() as u64) as usize],
            url: url(site, page),
            title: title(site, page),
            referer: referer(site, searched, rng),
            phrase,
            engine: if searched { 1 + skewed(rng.random(), 8) as i16 } else { 0 },
            os: (of_user >> 4 & 0xf) as i16,
            browser: skewed((of_user >> 8 & 0xff) as f64 / 256.0, 30) as i16,
            model: if is_mobile { MODELS[(of_user >> 16 & 7) as usize] } else { "" },
            screen: if is_mobile { (390, 844) } else { WIDTHS[(of_user >> 20) as usize % WIDTHS.len()] },
            is_refresh: rng.random_bool(0.1),
            ad: if rng.random_bool(0.02) { 1 + skewed(rng.random(), 40) as i32 } else { 0 },
            price: rng.random_bool(0.01).then(|| f64::from(rng.random_range(100..50_000)) / 100.0),
            sent: exponential(40_000.0, rng),
            timings_ms: std::array::from_fn(|phase| exponential(5.0 + 12.0 * phase as f64, rng)),
        }
    }
}

/// Where the user came from: nowhere, a search, a page of the same site or of another one.
fn referer(site: u64, searched: bool, rng: &mut SmallRng) -> String {
    if searched {
        return format!("https://www.find{}.example/results", skewed(rng.random(), 8));
    }
    match rng.random_range(0..10) {
        0..4 => String::new(),
        4..8 => url(site, skewed(rng.random(), PAGES_PER_SITE)),
        _ => url(skewed(rng.random(), SITES), skewed(rng.random(), PAGES_PER_SITE)),
    }
}

/// Many small numbers and few large ones, of this mean.
fn exponential(mean: f64, rng: &mut SmallRng) -> i32 {
    let share: f64 = rng.random();
    (-mean * (1.0 - share).ln()) as i32
}
