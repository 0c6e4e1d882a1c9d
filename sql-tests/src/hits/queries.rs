//! The queries: each one statement with an answer that does not depend on the order of the rows, so that every ORDER BY under a
//! LIMIT is a total order.

/// A query, its number counting from 1.
pub fn query(number: usize) -> Option<&'static str> {
    QUERIES.get(number.checked_sub(1)?).copied()
}

/// All queries, in the order of their numbers.
pub const QUERIES: [&str; 26] = [
    // What has no groups.
    "SELECT count(*) FROM hits",
    "SELECT count(*) FROM hits WHERE ad_id <> 0",
    "SELECT sum(bytes_sent), count(*), avg(screen_width), max(price) FROM hits",
    "SELECT count(DISTINCT user_id) FROM hits",
    "SELECT count(DISTINCT search_phrase) FROM hits",
    "SELECT min(event_date), max(event_date) FROM hits",
    "SELECT sum(timing_0), sum(timing_1), sum(timing_2), sum(timing_3), sum(timing_4), sum(timing_5), sum(timing_6), \
     sum(timing_7), sum(timing_8), sum(timing_9), sum(timing_10), sum(timing_11), sum(timing_12), sum(timing_13), \
     sum(timing_14), sum(timing_15), sum(timing_16), sum(timing_17), sum(timing_18), sum(timing_19), \
     sum(screen_width + 1), sum(screen_width + 2), sum(screen_height + 1), sum(screen_height + 2) FROM hits",
    // Few groups.
    "SELECT ad_id, count(*) AS hits FROM hits WHERE ad_id <> 0 GROUP BY ad_id ORDER BY hits DESC, ad_id",
    "SELECT country, os_id, count(*), avg(timing_19), sum(price) FROM hits GROUP BY country, os_id ORDER BY country, os_id",
    "SELECT region_id, count(DISTINCT user_id) AS users FROM hits GROUP BY region_id ORDER BY users DESC, region_id LIMIT 10",
    "SELECT region_id, sum(ad_id), count(*) AS hits, avg(screen_width), count(DISTINCT user_id) FROM hits \
     GROUP BY region_id ORDER BY hits DESC, region_id LIMIT 10",
    "SELECT phone_model, browser_id, count(DISTINCT user_id) AS users FROM hits WHERE phone_model <> '' \
     GROUP BY phone_model, browser_id ORDER BY users DESC, phone_model, browser_id LIMIT 10",
    // Many groups.
    "SELECT search_phrase, count(*) AS hits FROM hits WHERE search_phrase <> '' \
     GROUP BY search_phrase ORDER BY hits DESC, search_phrase LIMIT 10",
    "SELECT search_engine_id, search_phrase, count(*) AS hits, count(DISTINCT user_id) FROM hits WHERE search_phrase <> '' \
     GROUP BY search_engine_id, search_phrase ORDER BY hits DESC, search_engine_id, search_phrase LIMIT 10",
    "SELECT user_id, count(*) AS hits FROM hits GROUP BY user_id ORDER BY hits DESC, user_id LIMIT 10",
    "SELECT user_id, date_trunc('minute', event_time) AS minute, search_phrase, count(*) AS hits FROM hits \
     GROUP BY user_id, minute, search_phrase ORDER BY hits DESC, user_id, minute, search_phrase LIMIT 10",
    "SELECT session_id, user_id, count(*) AS hits, sum(bytes_sent), avg(screen_width) FROM hits WHERE NOT is_refresh \
     GROUP BY session_id, user_id ORDER BY hits DESC, session_id, user_id LIMIT 10",
    "SELECT url, count(*) AS hits FROM hits GROUP BY url ORDER BY hits DESC, url LIMIT 10",
    // Texts.
    "SELECT count(*) FROM hits WHERE url LIKE '%/basket/%'",
    "SELECT search_phrase, min(url), count(*) AS hits FROM hits WHERE url LIKE '%utm_source=%' AND search_phrase <> '' \
     GROUP BY search_phrase ORDER BY hits DESC, search_phrase LIMIT 10",
    "SELECT site_id, min(title), count(*) AS hits, count(DISTINCT user_id) FROM hits \
     WHERE title LIKE '%| video |%' AND url NOT LIKE '%?page=%' GROUP BY site_id ORDER BY hits DESC, site_id LIMIT 10",
    "SELECT site_id, avg(length(url)) AS length, count(*) AS hits FROM hits WHERE url <> '' GROUP BY site_id \
     HAVING count(*) > 1000 ORDER BY length DESC, site_id LIMIT 25",
    "SELECT regexp_replace(referer, '^https?://([^/]+)/.*$', '\\1') AS host, avg(length(referer)), count(*) AS hits, \
     min(referer) FROM hits WHERE referer <> '' GROUP BY host ORDER BY hits DESC, host LIMIT 25",
    // Wide rows, and a part of the time.
    "SELECT * FROM hits WHERE url LIKE '%/weather/%' ORDER BY event_time, hit_id LIMIT 10",
    "SELECT url, count(*) AS hits FROM hits WHERE site_id = 1 AND event_date BETWEEN '2024-07-05' AND '2024-07-20' \
     AND NOT is_refresh GROUP BY url ORDER BY hits DESC, url LIMIT 10 OFFSET 100",
    "SELECT date_trunc('hour', event_time) AS hour, CASE WHEN search_engine_id = 0 AND ad_id = 0 THEN 'direct' \
     WHEN ad_id = 0 THEN 'search' ELSE 'advertisement' END AS source, count(*), count(price), sum(price) FROM hits \
     WHERE event_date >= '2024-07-14' AND event_date < '2024-07-21' GROUP BY hour, source ORDER BY hour, source",
];
