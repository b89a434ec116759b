use super::Fault;

pub const FAULTS: &[Fault] = &[
    Fault {
        edit: "tokens + 1 + n % of_each",
        by: "tokens + n % of_each",
        message: "dweight[0][0]: given -0.120000, expected 0.270000",
    },
    Fault {
        edit: "dx[picture * tokens + t][i]",
        by: "dx[t][i]",
        message: "dclass[0][0]: given 1.000000, expected 0.200000",
    },
    Fault {
        edit: "[place(grid, n % of_each, j)] = ",
        by: "[place(grid, n % of_each, rows[n].len() - 1 - j)] = ",
        message: "dimages[0][0]: given -0.120000, expected 0.160000",
    },
];
