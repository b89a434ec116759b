use super::Fault;

pub const FAULTS: &[Fault] = &[
    Fault {
        edit: "dx_hat[n][j] - mean(n) - x_hat[n][j]",
        by: "dx_hat[n][j] - x_hat[n][j]",
        message: "dx[0][0]: given 0.121200, expected 0.049200",
    },
    Fault {
        edit: " - x_hat[n][j] * mean_with_x_hat(n);",
        by: ";",
        message: "dx[0][0]: given 0.108000, expected 0.049200",
    },
    Fault {
        edit: ".powi(2)) / width as f64",
        by: ".powi(2)) / (width - 1) as f64",
        message: "dx[0][0]: given 0.055285, expected 0.042459",
    },
];
