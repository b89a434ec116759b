use super::Fault;

pub const FAULTS: &[Fault] = &[
    Fault {
        edit: "price(i, &v[j]) - price(i, &out[i])",
        by: "price(i, &v[j])",
        message: "dq[0][0]: given 0.011314, expected 0.000000",
    },
    Fault {
        edit: "dscores[i][j] * k[j][l]) / root",
        by: "dscores[i][j] * k[j][l])",
        message: "dq[1][0]: given 0.345042, expected 0.243982",
    },
    Fault {
        edit: "dscores[i][j] * q[i][l]",
        by: "dscores[j][i] * q[i][l]",
        message: "dk[0][0]: given 0.000000, expected 0.219963",
    },
];
