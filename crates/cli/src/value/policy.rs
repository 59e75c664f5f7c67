//! When a container is started again: `--restart`.

use engine::restart::Policy;
use error::Result;

use crate::flags::{Given, nearest};

const WORDS: [&str; 4] = ["no", "on-failure", "always", "unless-stopped"];

/// `no`, `on-failure`, `on-failure:3`, `always`, `unless-stopped`.
pub(crate) fn policy(given: Given<'_>) -> Result<Policy> {
    match given.value.split_once(':') {
        None if given.value == "on-failure" => return Ok(Policy::OnFailure { most: 0 }),
        Some(("on-failure", most)) => match most.parse() {
            Ok(most) => return Ok(Policy::OnFailure { most }),
            Err(_) => {
                let refused = given.refused("the number of starts behind on-failure: is no whole number");
                return Err(refused.hint("for example: --restart on-failure:3").into());
            }
        },
        Some((word, _)) if WORDS.contains(&word) => {
            return Err(given.refused("only on-failure takes a number of starts").into());
        }
        _ => {}
    }
    match given.value {
        "no" | "" => Ok(Policy::No),
        "always" => Ok(Policy::Always),
        "unless-stopped" => Ok(Policy::UnlessStopped),
        word => {
            let hint = match nearest(word, WORDS.into_iter()) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("use one of {}", WORDS.join(", ")),
            };
            Err(given.refused("is no restart policy").hint(hint).into())
        }
    }
}
