//! The uts namespace: host name and NIS domain name. uts_namespaces(7).

use child::Step;
use error::{Refused, Result};
use oci::{Config, NamespaceKind};

use crate::steps::Steps;
use crate::{Relation, relation};

/// The kernel's limit for both names, in bytes (`__NEW_UTS_LEN`).
pub const LONGEST_NAME: usize = 64;

/// Sets the names that the configuration gives.
///
/// # Errors
/// Refused for a name over 64 bytes, or one that would rename the host.
pub fn plan(config: &Config, steps: &mut Steps<'_>) -> Result<()> {
    if let Some(name) = checked(config, "hostname", config.hostname.as_deref())? {
        steps.push(Step::Hostname(steps.text("hostname", name)?));
    }
    if let Some(name) = checked(config, "domainname", config.domainname.as_deref())? {
        steps.push(Step::Domainname(steps.text("domainname", name)?));
    }
    Ok(())
}

fn checked<'c>(config: &Config, field: &str, name: Option<&'c str>) -> Result<Option<&'c str>> {
    let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(None) };
    if name.len() > LONGEST_NAME {
        let refused = Refused::new(field, name, format!("is {} bytes long", name.len()));
        return Err(refused.hint(format!("use at most {LONGEST_NAME} bytes")).into());
    }
    if relation(config, NamespaceKind::Uts) == Relation::Host {
        let refused = Refused::new(field, name, "would rename the host");
        return Err(refused.hint("give the container a uts namespace of its own").into());
    }
    Ok(Some(name))
}
