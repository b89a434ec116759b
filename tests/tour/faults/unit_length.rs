use super::Fault;

pub const FAULTS: &[Fault] = &[
    Fault {
        edit: "dy[n][j] - y[n][j] * along(n)",
        by: "dy[n][j]",
        message: "dx[0][0]: given -0.440000, expected -0.196800",
    },
    Fault {
        edit: "(dy[n][j] - y[n][j] * along(n)) / length(&x[n])",
        by: "(dy[n][j] - y[n][j] * along(n))",
        message: "dx[0][0]: given -0.393600, expected -0.196800",
    },
    Fault {
        edit: "y[n][i] * dy[n][i]",
        by: "x[n][i] * dy[n][i]",
        message: "dx[0][0]: given 0.046400, expected -0.196800",
    },
];
