use super::Fault;

pub const FAULTS: &[Fault] = &[
    Fault {
        edit: "let dmid = add(dy, &dbranch);",
        by: "let dmid = dbranch;",
        message: "dx[0][0]: given 0.109890, expected 0.011019",
    },
    Fault {
        edit: "(add(&dmid, &dbranch), Block",
        by: "(dbranch, Block",
        message: "dx[0][0]: given 0.744686, expected 0.011019",
    },
    Fault {
        edit: "norm_backward(&p.ln_2, &mid, &dnormed);",
        by: "norm_backward(&p.ln_2, x, &dnormed);",
        message: "dx[0][0]: given 0.081514, expected 0.011019",
    },
];
