use super::Fault;

pub const FAULTS: &[Fault] = &[
    Fault {
        edit: "dtable[index[n]][i] += dx[n][i]",
        by: "dtable[index[n]][i] = dx[n][i]",
        message: "dtable[5][0]: given -0.400000, expected -0.600000",
    },
    Fault {
        edit: "sum_by_row(16, &ids, &dx)",
        by: "sum_by_row(16, &places, &dx)",
        message: "dtable[0][0]: given 0.400000, expected 0.000000",
    },
    Fault {
        edit: "sum_by_row(9, &leave, &dy)",
        by: "sum_by_row(9, &[0, 5], &dy)",
        message: "dx[0][0]: given 0.700000, expected 0.000000",
    },
];
