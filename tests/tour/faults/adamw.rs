use super::Fault;

pub const FAULTS: &[Fault] = &[
    Fault {
        edit: "    mean / (1.0 - beta.powi(t))",
        by: "    mean",
        message: "step 1, w1: given 0.459645, expected 0.445000",
    },
    Fault {
        edit: "adamw(&mut w, &dw, &mut mean, &mut square, t, lr, &decay)",
        by: "adamw(&mut w, &[dw[0] + 0.2 * before[0], dw[1]], &mut mean, &mut square, t, lr, &[0.0; 2])",
        message: "step 1, w1: given 0.450000, expected 0.445000",
    },
    Fault {
        edit: ".sum::<f64>().sqrt()\n",
        by: ".sum::<f64>()\n",
        message: "step 1, clipped norm: given 0.200000, expected 1.000000",
    },
];
