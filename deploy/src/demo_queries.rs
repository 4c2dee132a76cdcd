//! Queries to try on the demo's data.

/// A query and what it shows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DemoQuery {
    /// One line.
    pub(crate) shows: &'static str,
    /// The statement, ready to paste into psql.
    pub(crate) sql: &'static str,
}

/// The queries in the order they are printed.
pub(crate) const QUERIES: [DemoQuery; 5] = [
    DemoQuery {
        shows: "the five largest carriers and their average delay on arrival, in minutes",
        sql: "SELECT carrier, count(*), round(avg(arr_delay)::numeric, 2) FROM flights\n  \
              GROUP BY 1 ORDER BY 2 DESC LIMIT 5;",
    },
    DemoQuery {
        shows: "what wind does to departures: flights joined to the weather of their hour and to their airport",
        sql: "SELECT a.name, count(*) AS flights, round(avg(f.dep_delay)::numeric, 1) AS avg_delay\n  \
              FROM flights f JOIN weather w ON w.origin = f.origin AND w.time_hour = f.time_hour\n  \
              JOIN airports a ON a.faa = f.origin\n  \
              WHERE w.wind_speed > 25 GROUP BY a.name HAVING count(*) > 100 ORDER BY avg_delay DESC;",
    },
    DemoQuery {
        shows: "flights per month with a running total, by a window function over an aggregate",
        sql: "SELECT month, count(*) AS flights, sum(count(*)) OVER (ORDER BY month) AS so_far\n  \
              FROM flights GROUP BY month ORDER BY month;",
    },
    DemoQuery {
        shows: "how many stars there are of each magnitude: the naked eye ends near 6, the catalogue near 12",
        sql: "SELECT floor(mag) AS magnitude, count(*) AS stars FROM stars GROUP BY 1 ORDER BY 1;",
    },
    DemoQuery {
        shows: "how a query is cut into tasks and which worker runs which",
        sql: "EXPLAIN SELECT origin, avg(air_time) FROM flights GROUP BY origin;",
    },
];
