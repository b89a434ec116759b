//! Parameters that learn at another rate than the rest.

use crate::params::{Spec, for_each};
use crate::tree::{Path, Tree};
use glob::Pattern;
use std::str::FromStr;

/// Factors of the learning rate by the names of parameters, such as `visual.transformer.*=0.1`. The star stands for any
/// text, dots included.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LrFactors(Vec<LrFactor>);

/// The factor of the parameters whose names match a pattern.
#[derive(Clone, Debug, PartialEq)]
pub struct LrFactor {
    pattern: Pattern,
    factor: f32,
}

/// Why a text is no factor.
#[derive(Debug, thiserror::Error)]
pub enum LrFactorError {
    #[error("there is no `=` between the pattern and the factor")]
    NoFactor,
    #[error("the pattern: {0}")]
    Pattern(#[from] glob::PatternError),
    #[error("the factor is no number from 0 on")]
    NotANumber,
}

impl FromStr for LrFactor {
    type Err = LrFactorError;

    fn from_str(text: &str) -> Result<Self, LrFactorError> {
        let (pattern, factor) = text.rsplit_once('=').ok_or(LrFactorError::NoFactor)?;
        let factor = factor.parse().ok().filter(|factor: &f32| factor.is_finite() && *factor >= 0.0);
        Ok(LrFactor { pattern: Pattern::new(pattern)?, factor: factor.ok_or(LrFactorError::NotANumber)? })
    }
}

impl LrFactors {
    /// Takes these factors, each of which must be that of a parameter of the model.
    ///
    /// # Errors
    /// Returns the first pattern that no name of a parameter matches.
    pub fn new<S: Tree<Leaf = Spec>>(factors: Vec<LrFactor>, spec: &S) -> Result<Self, String> {
        let mut names = vec![];
        for_each(spec, &Path::ROOT, |path, spec, _| names.extend((!spec.is_buffer()).then(|| path.to_string())));
        let fits = |factor: &&LrFactor| !names.iter().any(|name| factor.pattern.matches(name));
        match factors.iter().find(fits) {
            Some(factor) => Err(factor.pattern.to_string()),
            None => Ok(LrFactors(factors)),
        }
    }

    /// Returns the product of all factors of what is at a path, which is 1 if no pattern matches its name.
    pub fn of(&self, path: &Path) -> f32 {
        let name = if self.0.is_empty() { String::new() } else { path.to_string() };
        self.0.iter().filter(|factor| factor.pattern.matches(&name)).map(|factor| factor.factor).product()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::linear::{Linear, default_init};
    use crate::tree::tree;

    tree!(Model { first: Linear, middle as "part": [Linear] });

    fn model() -> Model<Spec> {
        let linear = || Linear::spec(3, 2, default_init(3), default_init(3));
        Model { first: linear(), middle: vec![linear(), linear()] }
    }

    fn factors(texts: &[&str]) -> Result<LrFactors, String> {
        LrFactors::new(texts.iter().map(|text| text.parse().unwrap()).collect(), &model())
    }

    #[test]
    fn a_name_has_the_product_of_what_it_matches() {
        let factors = factors(&["*.weight=0.5", "part.*=0.25", "part.1.bias=0"]).unwrap();
        let mut given = vec![];
        for_each(&model(), &Path::ROOT, |path, _, _| given.push(factors.of(path)));
        assert_eq!(given, [0.5, 1.0, 0.125, 0.25, 0.125, 0.0]);
        assert_eq!(LrFactors::default().of(&Path::at("first")), 1.0);
    }

    #[test]
    fn what_matches_nothing_or_is_no_factor_is_refused() {
        assert_eq!(factors(&["*=1", "middle.*=0.5"]), Err("middle.*".into()));
        let error = |text: &str| text.parse::<LrFactor>().unwrap_err().to_string();
        assert!(error("visual").contains("no `=`"));
        assert!(error("a=b").contains("no number") && error("a=-1").contains("no number"));
        assert!(error("[=1").contains("the pattern"));
    }
}
