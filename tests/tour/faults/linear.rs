use super::Fault;

pub const FAULTS: &[Fault] = &[
    Fault {
        edit: "dy[n][o] * weight[o][i]",
        by: "dy[n][o] * weight[n][i]",
        message: "dx[0][0]: given 0.405000, expected 0.095000",
    },
    Fault {
        edit: "dy[n][o] * x[n][i]",
        by: "dy[o][n] * x[n][i]",
        message: "dweight[0][0]: given 0.212000, expected 0.765000",
    },
    Fault {
        edit: "sum(rows, |n| dy[n][o])",
        by: "dy[0][o]",
        message: "dbias[0][0]: given 0.115000, expected 1.060000",
    },
];
