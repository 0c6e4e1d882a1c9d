//! Words, pages and phrases: made from numbers, so that the same page has the same address and title wherever it occurs.

/// Parts of a site, the most visited first.
const SECTIONS: [&str; 12] =
    ["news", "product", "search", "video", "forum", "help", "profile", "basket", "jobs", "maps", "weather", "contact"];

/// What words are made of.
const SYLLABLES: [&str; 32] = [
    "ba", "ce", "di", "fo", "gu", "ha", "je", "ki", "lo", "mu", "na", "pe", "qui", "ro", "su", "ta", "ve", "wi", "xo",
    "yu", "zan", "bel", "cor", "dun", "far", "gil", "hom", "lin", "mer", "nos", "par", "tun",
];

/// A number that looks random but is always the same for the same number: the finaliser of SplitMix64.
pub fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number below `count` for a share of 0 to 1, evenly over its logarithm: number n comes about in proportion to 1 / (n + 1),
/// as visits of pages do.
pub fn skewed(share: f64, count: u64) -> u64 {
    let number = ((count + 1) as f64).powf(share) - 1.0;
    (number as u64).min(count.saturating_sub(1))
}

/// A word of two syllables or more, another one for each number.
pub fn word(number: u64) -> String {
    let mut text = String::new();
    let mut rest = number;
    for part in 0.. {
        if part >= 2 && rest == 0 {
            break;
        }
        text.push_str(SYLLABLES[(rest % SYLLABLES.len() as u64) as usize]);
        rest /= SYLLABLES.len() as u64;
    }
    text
}

/// The host of a site.
pub fn host(site: u64) -> String {
    format!("{}.example", word(site))
}

/// The address of a page of a site; some carry parameters.
pub fn url(site: u64, page: u64) -> String {
    let random = mix(site << 32 | page);
    let section = section(random);
    let path = format!("{}-{}", word(random >> 8 & 0x3ff), word(random >> 18 & 0xffff));
    let parameters = match random % 10 {
        0 => format!("?page={}", random >> 40 & 0x3f),
        1 => format!("?utm_source={}&utm_campaign={}", word(random >> 36 & 0xf), word(random >> 40 & 0xff)),
        2 => format!("?q={}+{}&sort=price", word(random >> 34 & 0xff), word(random >> 42 & 0xff)),
        _ => String::new(),
    };
    format!("https://{}/{section}/{path}/{page}{parameters}", host(site))
}

/// The title of a page of a site.
pub fn title(site: u64, page: u64) -> String {
    let random = mix(site << 32 | page);
    let mut text = String::new();
    for part in 0..3 + random % 5 {
        text.push_str(&word(mix(random.wrapping_add(part)) & 0xfff));
        text.push(' ');
    }
    format!("{text}| {} | {}", section(random), host(site))
}

/// What somebody looked for: one to four words.
pub fn phrase(number: u64) -> String {
    let random = mix(number ^ 0x5eed);
    let words: Vec<String> = (0..=random % 4).map(|part| word(mix(random.wrapping_add(part)) & 0x7ff)).collect();
    words.join(" ")
}

fn section(random: u64) -> &'static str {
    let share = (random >> 48) as f64 / 65536.0;
    SECTIONS[skewed(share, SECTIONS.len() as u64) as usize]
}
