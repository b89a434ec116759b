use super::Fault;

pub const FAULTS: &[Fault] = &[
    Fault {
        edit: "(dp[n][j] - sum(choices, |i| p[n][i] * dp[n][i]))",
        by: "dp[n][j]",
        message: "dscores through P[0][0]: given 0.459437, expected 0.225717",
    },
    Fault {
        edit: "(p[n][j] - delta(n, j)) / rows as f64",
        by: "p[n][j] - delta(n, j)",
        message: "dscores[0][0]: given -0.343661, expected -0.171830",
    },
    Fault { edit: "(0..n).map(&x).fold(f64::NEG_INFINITY, f64::max)", by: "0.0", message: "left: \"inf\"" },
];
