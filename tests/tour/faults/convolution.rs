use super::Fault;

pub const FAULTS: &[Fault] = &[
    Fault {
        edit: "dx[l][i] += dy[n][o] * weight[o][i * area + t];",
        by: "dx[l][i] += dy[n][o] * weight[o][i * area + area - 1 - t];",
        message: "dimage[1][0]: given -0.196816, expected -0.057561",
    },
    Fault {
        edit: " + positions[0][j] / x.len() as f64",
        by: "",
        message: "dopen[0][0]: given 0.820493, expected 1.134257",
    },
    Fault {
        edit: "transposed(&normalised_backward(&transposed(x), eps, &transposed(&dx_hat)))",
        by: "matrix(rows, channels, |n, j| dx_hat[n][j] * statistics(&transposed(x)[j], eps).1)",
        message: "dwindow[0][0]: given 2.181491, expected -0.298265",
    },
];
