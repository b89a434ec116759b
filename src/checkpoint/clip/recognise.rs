//! Recognises which scheme the names of a file follow, and which prefix they have.

use super::architecture::{smallest, smallest_of, smallest_siglip};
use super::names::Scheme;
use crate::checkpoint::prefix::{Best, Known};
use crate::models::clip::Layers;
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// Returns the scheme, with its prefix, by which most of the names are known. If several schemes are equally good, the
/// one with the shortest prefix is returned.
pub(crate) fn recognise(names: &BTreeSet<String>) -> Scheme {
    let behind_text = Scheme::OpenAi { prefix: String::new(), text: "text." };
    let schemes = [Scheme::openai(), behind_text, Scheme::hugging_face(false)];
    let known: Vec<Known> = schemes.iter().map(known).collect();
    let best = schemes.into_iter().zip(known.iter().map(|known| known.best_prefix(names)));
    let (scheme, Best { prefix, .. }) =
        best.min_by_key(|(_, best)| (Reverse(best.count), best.prefix.len())).expect("there are three schemes");
    scheme.behind(prefix, names)
}

/// Returns the names that a scheme has behind its prefix, for both kinds of image towers and for both towers of a SigLIP.
pub(crate) fn known(scheme: &Scheme) -> Known {
    let scheme = scheme.clone().without_prefix();
    let resnet = smallest_of(Layers::ResNet([1; 4]), 1);
    let siglip = scheme.clip(&smallest_siglip(1, 1));
    Known::default().and(&scheme.clip(&smallest())).and(&scheme.clip(&resnet)).and(&siglip)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::places::{Place, Places};
    use crate::tree::{Path as TreePath, Tree};

    /// Returns all names of a model in a scheme.
    fn names(scheme: &Scheme, layers: Layers) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        let places = scheme.clip(&smallest_of(layers, 12));
        places.map(&TreePath::ROOT, &mut |_, places: &Places| {
            names.extend(places.iter().flat_map(Place::names).map(String::from));
        });
        names
    }

    fn schemes(prefix: &str) -> [Scheme; 3] {
        let openai = |text| Scheme::OpenAi { prefix: prefix.into(), text };
        let (image_projection, text_projection) = (true, true);
        let is_siglip = false;
        let theirs = Scheme::HuggingFace { prefix: prefix.into(), image_projection, text_projection, is_siglip };
        [openai(""), openai("text."), theirs]
    }

    const PREFIXES: [&str; 8] = [
        "",
        "module.",
        "_orig_mod.",
        "model.",
        "clip.",
        "state_dict.model.",
        "_orig_mod.module.",
        "visual.text.3.x_y.",
    ];

    #[test]
    fn any_prefix_is_found() {
        for prefix in PREFIXES {
            for scheme in schemes(prefix) {
                let all = names(&scheme, Layers::Vit(11));
                assert_eq!(recognise(&all), scheme, "{prefix}");
                let others = ["step", "optimizer.state.0.exp_avg", "head.weight", "ema.visual.proj"].map(String::from);
                assert_eq!(recognise(&all.into_iter().chain(others).collect()), scheme, "{prefix}");
            }
            let [openai, ..] = schemes(prefix);
            assert_eq!(recognise(&names(&openai, Layers::ResNet([3, 4, 6, 3]))), openai, "{prefix}");
        }
    }

    /// The text tower has parts that the image tower has as well. Their names differ only in what stands before them.
    #[test]
    fn a_tower_alone_is_not_taken_for_the_other() {
        for prefix in PREFIXES {
            for scheme in schemes(prefix) {
                let all = names(&scheme, Layers::Vit(11));
                let is_image = |name: &String| {
                    name[prefix.len()..].starts_with("vis") && name != &format!("{prefix}visual_projection.weight")
                };
                let (image, text): (BTreeSet<String>, BTreeSet<String>) = all.into_iter().partition(is_image);
                for (names, tower) in [(image, "image"), (text, "text")] {
                    let found = recognise(&names);
                    assert_eq!(found.prefix(), prefix, "{tower}");
                    let is_hugging_face = matches!(found, Scheme::HuggingFace { .. });
                    assert_eq!(is_hugging_face, matches!(scheme, Scheme::HuggingFace { .. }));
                }
            }
        }
    }

    #[test]
    fn names_of_nothing_known_have_no_prefix() {
        for names in [&[][..], &["a", "b.c", "encoder.weight", ""]] {
            assert_eq!(recognise(&names.iter().map(|name| name.to_string()).collect()), Scheme::openai());
        }
    }
}
