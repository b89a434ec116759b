use super::Fault;

pub const FAULTS: &[Fault] = &[
    Fault {
        edit: "sum(x.len(), |n| dy[n][0] * x[n][0])",
        by: "dy[0][0] * x[0][0]",
        message: "dweight[0][0]: given 0.600000, expected -1.400000",
    },
    Fault {
        edit: "(y[n][0] - answers[n][0]) / y.len() as f64",
        by: "(y[n][0] - answers[n][0])",
        message: "dy[0][0]: given 0.600000, expected 0.300000",
    },
    Fault {
        edit: "|n, _| dy[n][0] * weight",
        by: "|n, _| dy[n][0]",
        message: "dx[0][0]: given 0.300000, expected 0.150000",
    },
    Fault {
        edit: "sum(x.len(), |n| dy[n][0]);",
        by: "sum(x.len(), |n| dy[n][0]) / x.len() as f64;",
        message: "dbias[0][0]: given -0.050000, expected -0.100000",
    },
];
