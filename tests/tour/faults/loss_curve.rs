use super::Fault;

pub const FAULTS: &[Fault] = &[
    Fault {
        edit: "pairs(1000 + n as u64, 16, 0.1);\nlet held_out",
        by: "pairs(1000, 16, 0.1);\nlet held_out",
        message: "held out at step 299: given 1.32, expected 0.20",
    },
    Fault { edit: "&held_out[side]", by: "&batch[side]", message: "held out at step 299: given 0.33, expected 0.20" },
    Fault {
        edit: "dweights.concat().concat()",
        by: "dweights[0].concat(), vec![0.0; 32]",
        message: "held out at step 299: given 2.44, expected 0.20",
    },
];
