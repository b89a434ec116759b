//! The size of each step's pictures. A run may begin with small ones, which cost less (Li et al. 2023, "RECLIP:
//! Resource-efficient CLIP by Training with Small Images").

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The parts of a run, one after the other: the size of their pictures in pixels, and their share of the steps. As a
/// text they are `96:0.8,224:0.2`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageSizes {
    parts: Vec<(usize, f64)>,
}

/// Parts that no run can have.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ImageSizesError {
    #[error("{0:?} is no size in pixels and its share of the steps, such as 96:0.8")]
    Part(String),
    #[error("the shares add up to {0}, not to 1")]
    Sum(f64),
    #[error("none of the {steps} steps is left for pictures of {size} pixels")]
    NoStep { steps: u64, size: usize },
}

impl FromStr for ImageSizes {
    type Err = ImageSizesError;

    fn from_str(text: &str) -> Result<Self, ImageSizesError> {
        let part = |text: &str| {
            let (size, share) = text.split_once(':')?;
            let part: (usize, f64) = (size.trim().parse().ok()?, share.trim().parse().ok()?);
            (part.0 > 0 && part.1 > 0.0 && part.1 <= 1.0).then_some(part)
        };
        let parts = text.split(',').map(|text| part(text).ok_or_else(|| ImageSizesError::Part(text.into())));
        let parts: Vec<_> = parts.collect::<Result<_, _>>()?;
        let sum: f64 = parts.iter().map(|(_, share)| share).sum();
        // Thirds and the like are written with few digits.
        if (sum - 1.0).abs() > 1e-3 { Err(ImageSizesError::Sum(sum)) } else { Ok(ImageSizes { parts }) }
    }
}

impl TryFrom<String> for ImageSizes {
    type Error = ImageSizesError;

    fn try_from(text: String) -> Result<Self, ImageSizesError> {
        text.parse()
    }
}

impl From<ImageSizes> for String {
    fn from(sizes: ImageSizes) -> String {
        sizes.to_string()
    }
}

impl fmt::Display for ImageSizes {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let parts: Vec<_> = self.parts.iter().map(|(size, share)| format!("{size}:{share}")).collect();
        f.write_str(&parts.join(","))
    }
}

impl ImageSizes {
    /// Returns the size of each part.
    pub fn sizes(&self) -> Vec<usize> {
        self.parts.iter().map(|&(size, _)| size).collect()
    }

    /// Returns the size of the first part.
    pub fn first(&self) -> usize {
        self.parts[0].0
    }

    /// Returns the size of the last part.
    pub fn last(&self) -> usize {
        self.parts[self.parts.len() - 1].0
    }

    /// Divides the steps of a run among the parts, rounded to whole ones.
    ///
    /// # Errors
    /// If the run is so short that a part has no step.
    pub fn over(&self, steps: u64) -> Result<ImageSizeSchedule, ImageSizesError> {
        let (mut sum, mut start, mut ends) = (0.0, 0, vec![]);
        for (i, &(size, share)) in self.parts.iter().enumerate() {
            sum += share;
            let is_last = i + 1 == self.parts.len();
            let end = if is_last { steps } else { ((sum * steps as f64).round() as u64).min(steps) };
            if end == start {
                return Err(ImageSizesError::NoStep { steps, size });
            }
            ends.push((end, size));
            start = end;
        }
        Ok(ImageSizeSchedule { ends })
    }
}

/// The size of the pictures of every step.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageSizeSchedule {
    /// For each part, the step that follows its last one, and its size.
    ends: Vec<(u64, usize)>,
}

impl ImageSizeSchedule {
    /// Returns the size of a step's pictures. Steps are counted from 0; behind the last one the size stays.
    pub fn at(&self, step: u64) -> usize {
        let part = self.ends.iter().find(|(end, _)| step < *end);
        part.or(self.ends.last()).expect("a part").1
    }
}

impl fmt::Display for ImageSizeSchedule {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let parts: Vec<_> = self.ends.iter().map(|(end, size)| format!("{size} pixels up to step {end}")).collect();
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_divided_by_shares() {
        let sizes: ImageSizes = "96:0.8, 160:0.1,224:0.1".parse().unwrap();
        assert_eq!((sizes.sizes(), sizes.first(), sizes.last()), (vec![96, 160, 224], 96, 224));
        let schedule = sizes.over(50).unwrap();
        let at = [0, 39, 40, 44, 45, 49, 50, 1000].map(|step| schedule.at(step));
        assert_eq!(at, [96, 96, 160, 160, 224, 224, 224, 224]);
        assert_eq!(schedule.to_string(), "96 pixels up to step 40, 160 pixels up to step 45, 224 pixels up to step 50");
        let whole: ImageSizes = "64:1".parse().unwrap();
        assert_eq!(whole.over(1).unwrap().at(0), 64);
        let thirds: ImageSizes = "32:0.333,64:0.333,96:0.333".parse().unwrap();
        assert_eq!(thirds.over(3).unwrap().at(2), 96);
    }

    #[test]
    fn they_survive_a_file() {
        let sizes: ImageSizes = "96:0.75,224:0.25".parse().unwrap();
        let json = serde_json::to_string(&sizes).unwrap();
        assert_eq!(json, r#""96:0.75,224:0.25""#);
        assert_eq!(serde_json::from_str::<ImageSizes>(&json).unwrap(), sizes);
        assert!(serde_json::from_str::<ImageSizes>(r#""96:0.75""#).is_err());
    }

    #[test]
    fn what_no_run_can_have_is_refused_with_a_reason() {
        let said = |text: &str| text.parse::<ImageSizes>().unwrap_err().to_string();
        for text in ["", "96", "96:", ":1", "96:x", "0:1", "96:0", "96:-1", "96:1.5", "96:nan", "96:0.5,", "-3:1"] {
            assert!(said(text).contains("such as 96:0.8"), "{text}: {}", said(text));
        }
        assert_eq!(said("96:0.8,224:0.3"), "the shares add up to 1.1, not to 1");
        let short = "96:0.9,224:0.1".parse::<ImageSizes>().unwrap();
        assert_eq!(short.over(4).unwrap_err().to_string(), "none of the 4 steps is left for pictures of 224 pixels");
        assert!(short.over(0).is_err() && short.over(6).is_ok());
    }
}
