//! Resource limits of setrlimit(2), and sets of CPUs and memory nodes of cpuset(7).

use engine::options::{Limit, Set, Ulimit};
use error::Result;

use crate::flags::Given;

/// `NAME=SOFT[:HARD]`; -1 is no limit.
pub(crate) fn ulimit(given: Given<'_>) -> Result<Ulimit> {
    let hint = "use a name and one or two numbers, such as nofile=1024:2048, and -1 for no limit";
    let refused = |reason: &str| given.refused(reason).hint(hint);
    let Some((name, limits)) = given.value.split_once('=') else {
        return Err(refused("has no limit").into());
    };
    let Some(resource) = Ulimit::resource(name) else {
        return Err(refused("names no resource")
            .hint("nofile, nproc, core, stack, memlock and others of ulimit(1)")
            .into());
    };
    let number = |word: &str| match word.parse::<i64>() {
        Ok(-1) => Ok(Limit::Unlimited),
        Ok(number) => u64::try_from(number).map(Limit::At).map_err(|_| refused("has a limit below -1")),
        Err(_) => Err(refused("has a limit that is no whole number")),
    };
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let (soft, hard) = (number(soft)?, number(hard)?);
    let above = match (soft, hard) {
        (_, Limit::Unlimited) => false,
        (Limit::Unlimited, Limit::At(_)) => true,
        (Limit::At(soft), Limit::At(hard)) => soft > hard,
    };
    if above {
        return Err(given.refused("has a soft limit above the hard one").hint("give the smaller number first").into());
    }
    Ok(Ulimit { resource, soft, hard })
}

/// `0-3,5`; nothing is as if it was not given.
pub(crate) fn set(given: Given<'_>) -> Result<Option<Set>> {
    match Set::parse(given.value) {
        Some(set) => Ok(Some(set).filter(|set| !set.is_empty())),
        None => Err(given.refused("is no list of numbers").hint("use numbers and ranges, such as 0-3,5").into()),
    }
}
