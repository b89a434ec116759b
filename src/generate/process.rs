//! What changes the scores of one step before a token is chosen by them.

use super::options::Options;

/// Penalises the tokens that the text already has, the prompt's included, then forbids the end token while the text
/// is too short. Keskar et al. 2019, section 4.1:
///
/// score ← score·penalty if score < 0, else score/penalty
///
/// `scores` (V): logits where one text is followed, log-probabilities where several are compared
pub fn process(scores: &mut [f32], ids: &[u32], options: &Options) {
    if options.repetition_penalty != 1.0 {
        let mut seen = ids.to_vec();
        seen.sort_unstable();
        seen.dedup();
        for id in seen {
            let score = &mut scores[id as usize];
            *score =
                if *score < 0.0 { *score * options.repetition_penalty } else { *score / options.repetition_penalty };
        }
    }
    if ids.len() < options.min_length {
        scores[options.end as usize] = f32::NEG_INFINITY;
    }
}
