use super::Fault;

pub const FAULTS: &[Fault] = &[
    Fault {
        edit: "(dx, add(&by_k, &by_v), ",
        by: "(dx, by_k, ",
        message: "du[0][0]: given 0.891804, expected 0.266913",
    },
    Fault {
        edit: "columns[j][k]) / temp);\n",
        by: "columns[j][k]));\n",
        message: "dimages[0][0]: given -0.120284, expected -0.601422",
    },
    Fault { edit: "(drows, -sum(", by: "(drows, sum(", message: "dtemp[0][0]: given 0.542333, expected -0.542333" },
];
