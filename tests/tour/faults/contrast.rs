use super::Fault;

pub const FAULTS: &[Fault] = &[
    Fault {
        edit: "p[i][j] + q[i][j] - 2.0 * delta",
        by: "p[i][j] - 2.0 * delta",
        message: "dimages[0][0]: given -1.233596, expected -0.878571",
    },
    Fault {
        edit: "scale * sum(n, |j| dlogits[i][j] * texts[j][k])",
        by: "sum(n, |j| dlogits[i][j] * texts[j][k])",
        message: "dimages[0][0]: given -0.175714, expected -0.878571",
    },
    Fault {
        edit: "dlogits[i][j] * images[i][k]",
        by: "dlogits[j][i] * images[i][k]",
        message: "dtexts[0][0]: given -0.748832, expected -0.118227",
    },
];
