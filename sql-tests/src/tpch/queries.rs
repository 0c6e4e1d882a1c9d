//! The 22 queries with the validation parameters of the specification, each one statement.

/// Numbers of the queries.
pub const NUMBERS: std::ops::RangeInclusive<i32> = 1..=22;

/// One query as one SQL statement, without a semicolon, in a dialect that DataFusion and DuckDB read.
///
/// Query 15 is the variant with a WITH clause. Where the specification returns the first rows only, LIMIT says so. The
/// fraction of query 11 depends on the scale factor.
pub fn query(number: i32, scale: f64) -> String {
    if number == 15 {
        return QUERY_15.to_owned();
    }
    let template = tpchgen::q_and_a::queries::query(number).unwrap_or_default();
    // The interval's precision, "(3)", is for engines that need it.
    let mut sql = template.replace("day (3)", "day").trim().trim_end_matches(';').to_owned();
    // From behind: `:1` is the beginning of `:10`.
    for (index, value) in parameters(number, scale).iter().enumerate().rev() {
        sql = sql.replace(&format!(":{}", index + 1), value);
    }
    match number {
        2 | 18 | 21 => sql.push_str("\nlimit 100"),
        3 => sql.push_str("\nlimit 10"),
        10 => sql.push_str("\nlimit 20"),
        _ => {}
    }
    sql
}

fn parameters(number: i32, scale: f64) -> Vec<String> {
    let fraction = format!("{:.10}", 0.0001 / scale);
    let values: &[&str] = match number {
        1 => &["90"],
        2 => &["15", "BRASS", "EUROPE"],
        3 => &["BUILDING", "1995-03-15"],
        4 => &["1993-07-01"],
        5 => &["ASIA", "1994-01-01"],
        6 => &["1994-01-01", "0.06", "24"],
        7 => &["FRANCE", "GERMANY"],
        8 => &["BRAZIL", "AMERICA", "ECONOMY ANODIZED STEEL"],
        9 => &["green"],
        10 => &["1993-10-01"],
        11 => &["GERMANY", &fraction],
        12 => &["MAIL", "SHIP", "1994-01-01"],
        13 => &["special", "requests"],
        14 => &["1995-09-01"],
        16 => &["Brand#45", "MEDIUM POLISHED", "49", "14", "23", "45", "19", "3", "36", "9"],
        17 => &["Brand#23", "MED BOX"],
        18 => &["300"],
        19 => &["Brand#12", "Brand#23", "Brand#34", "1", "10", "20"],
        20 => &["forest", "1994-01-01", "CANADA"],
        21 => &["SAUDI ARABIA"],
        22 => &["13", "31", "23", "29", "30", "18", "17"],
        _ => &[],
    };
    values.iter().map(|value| (*value).to_owned()).collect()
}

const QUERY_15: &str = "\
with revenue (supplier_no, total_revenue) as (
	select
		l_suppkey,
		sum(l_extendedprice * (1 - l_discount))
	from
		lineitem
	where
		l_shipdate >= date '1996-01-01'
		and l_shipdate < date '1996-01-01' + interval '3' month
	group by
		l_suppkey
)
select
	s_suppkey,
	s_name,
	s_address,
	s_phone,
	total_revenue
from
	supplier,
	revenue
where
	s_suppkey = supplier_no
	and total_revenue = (
		select
			max(total_revenue)
		from
			revenue
	)
order by
	s_suppkey";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_is_filled_in() {
        for number in NUMBERS {
            let sql = query(number, 1.0);
            assert!(!sql.contains(';') && sql.len() > 100, "{number}: {sql}");
            let holes =
                sql.match_indices(':').filter(|(at, _)| sql[at + 1..].starts_with(|c: char| c.is_alphanumeric()));
            assert_eq!(holes.count(), 0, "{number}: {sql}");
        }
    }
}
