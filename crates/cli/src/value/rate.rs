//! How fast a container may receive and send: `--network-rate`.

use engine::options::Rate;
use error::Result;

use super::quantity;
use crate::flags::Given;

/// `in=RATE,out=RATE`, or one of them.
pub(crate) fn rate(given: Given<'_>) -> Result<Rate> {
    let mut rate = Rate::default();
    for field in given.value.split(',') {
        match field.split_once('=') {
            Some(("in", value)) => rate.into_bits = Some(quantity::bits(given.part(value))?),
            Some(("out", value)) => rate.out_bits = Some(quantity::bits(given.part(value))?),
            _ => {
                let refused = given.refused(format!("{field:?} is neither in= nor out="));
                return Err(refused.hint("use in=10mbit,out=1mbit").into());
            }
        }
    }
    Ok(rate)
}
