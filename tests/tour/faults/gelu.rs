use super::Fault;

pub const FAULTS: &[Fault] = &[
    Fault {
        edit: "normal_cdf(x) + x * normal_pdf(x)",
        by: "normal_cdf(x)",
        message: "dx[0][0]: given 0.679898, expected 0.767167",
    },
    Fault {
        edit: "dy[n][j] * slope(x[n][j])",
        by: "dy[n][j] * slope(gelu(x[n][j]))",
        message: "dx[0][0]: given 0.771141, expected 0.767167",
    },
    Fault {
        edit: "gate + x * 1.702 * gate",
        by: "gate + x * gate",
        message: "quick dx[0][0]: given 0.721974, expected 0.756030",
    },
];
