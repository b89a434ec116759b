use super::Fault;

pub const FAULTS: &[Fault] = &[
    Fault {
        edit: "[dimage_weight, dtext_weight], dlogit_scale) = cached(w, x, logit_scale, 2)",
        by: "[dimage_weight, dtext_weight], dlogit_scale) = apart(w, x, logit_scale, 2)",
        message: "dimage_weight[0][0]: given 0.043813, expected 0.074013",
    },
    Fault {
        edit: "dweight = add(&dweight, &encoder_backward(&y, x, dembeddings))",
        by: "dweight = encoder_backward(&y, x, dembeddings)",
        message: "dimage_weight[0][0]: given 0.012619, expected 0.074013",
    },
    Fault {
        edit: "zip(dembeddings.chunks(size))",
        by: "zip(dembeddings.rchunks(size))",
        message: "dimage_weight[0][0]: given 0.044127, expected 0.074013",
    },
];
