//! Checks of a model's sizes before anything is allocated for them.

/// A size that no model can have.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum SizeError {
    #[error("{field} is 0")]
    Zero { field: &'static str },
    #[error("{whole_name} {whole} is not a multiple of {part_name} {part}")]
    NotAMultiple { whole_name: &'static str, whole: usize, part_name: &'static str, part: usize },
    #[error("{field} is {value}, more than {limit}")]
    TooLarge { field: &'static str, value: usize, limit: usize },
}

/// The largest number of parameters of a whole model, 17 GB in f32. The largest CLIP that was published, ViT-bigG, has
/// 2.5 billion.
pub(crate) const MAX_PARAMETERS: usize = 1 << 32;

/// Returns an error if a size is 0 or beyond its limit.
pub(crate) fn check_sizes(sizes: &[(&'static str, usize, usize)]) -> Result<(), SizeError> {
    for &(field, value, limit) in sizes {
        if value == 0 {
            return Err(SizeError::Zero { field });
        }
        if value > limit {
            return Err(SizeError::TooLarge { field, value, limit });
        }
    }
    Ok(())
}

/// Returns an error if the whole is not a multiple of the part.
pub(crate) fn check_multiple(
    whole_name: &'static str,
    whole: usize,
    part_name: &'static str,
    part: usize,
) -> Result<(), SizeError> {
    if whole.is_multiple_of(part) {
        return Ok(());
    }
    Err(SizeError::NotAMultiple { whole_name, whole, part_name, part })
}
