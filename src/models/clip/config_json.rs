//! Flags of a configuration that OpenCLIP writes as words.

/// `"act_kwargs": {"approximate": "tanh"}`, what PyTorch's GELU is made with.
pub mod tanh {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Arguments {
        approximate: Approximate,
    }

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Approximate {
        None,
        Tanh,
    }

    pub fn serialize<S: Serializer>(is_tanh: &bool, serializer: S) -> Result<S::Ok, S::Error> {
        let approximate = if *is_tanh { Approximate::Tanh } else { Approximate::None };
        Arguments { approximate }.serialize(serializer)
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(deserializer: D) -> Result<bool, D::Error> {
        Ok(matches!(Arguments::deserialize(deserializer)?.approximate, Approximate::Tanh))
    }
}

/// `"timm_pool": "map"`, what makes a picture's embedding of the rows of its patches.
pub mod map {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Pool {
        Map,
        Token,
    }

    pub fn serialize<S: Serializer>(is_map: &bool, serializer: S) -> Result<S::Ok, S::Error> {
        if *is_map { Pool::Map } else { Pool::Token }.serialize(serializer)
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(deserializer: D) -> Result<bool, D::Error> {
        Ok(matches!(Pool::deserialize(deserializer)?, Pool::Map))
    }
}
