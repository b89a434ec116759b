//! What is trained: the parameters of a BLIP, and the temperature of ITC, which no trained model needs.

use crate::models::blip::{Blip, Config, Model, spec as blip_spec};
use crate::params::{Init, Params, Spec};
use crate::tree::tree;

tree! {
    /// ITC divides cosines by `temp`, a scalar.
    Trained { blip as "": Blip, temp }
}

/// The temperature stays at or below this.
pub(super) const MAX_TEMP: f32 = 0.5;
/// The temperature that training begins with.
const TEMP: f32 = 0.07;

/// Returns the parameter table of a configuration.
pub fn spec(config: &Config) -> Trained<Spec> {
    Trained { blip: blip_spec(config), temp: Spec::new(&[], Init::Const(TEMP)) }
}

/// Returns the parameters of a model with the temperature that training begins with.
pub(super) fn begin(model: &Model) -> Params<Trained<Spec>> {
    let mut params = Params::zeros(spec(&model.config));
    let (temp, blip) = params.flat.split_last_mut().expect("a temperature");
    blip.copy_from_slice(&model.params.flat);
    *temp = TEMP;
    params
}

/// Returns the parameters of the model alone.
pub(super) fn model(config: Config, trained: &Params<Trained<Spec>>) -> Model {
    let mut params = Params::zeros(blip_spec(&config));
    let len = params.flat.len();
    params.flat.copy_from_slice(&trained.flat[..len]);
    Model { config, params }
}
