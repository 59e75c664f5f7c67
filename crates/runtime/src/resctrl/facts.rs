//! What a container's group of resctrl has and what is measured of it. Documentation/filesystems/resctrl.rst.
//!
//! Occupancy and traffic are in bytes. What the file system does not have, or cannot tell at the moment ("Unavailable"), is
//! absent.

use std::fs;
use std::path::Path;

use error::{Doing, Result};
use oci::IntelRdt;

use super::{Place, SCHEMATA};

/// A container's group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// What the third-level cache can be given in.
    pub cache: Option<Cache>,
    /// What the memory bandwidth can be given in.
    pub bandwidth: Option<Bandwidth>,
    /// The lines of the file system's own group, which all are in that are in no other.
    pub root: Vec<String>,
    /// The lines of the container's.
    pub schemata: Vec<String>,
    /// What is measured of the container, or of all in its group where it has no monitoring group, for each domain.
    pub measured: Vec<Measured>,
}

/// `info/L3`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    /// The bits that there are, as hexadecimal digits.
    pub mask: String,
    /// The fewest of them that can be given.
    pub fewest_bits: Option<u64>,
    /// How many groups there can be.
    pub groups: Option<u64>,
}

/// `info/MB`, in percent or, with the option `mba_MBps`, in megabytes a second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bandwidth {
    /// The steps in which it can be given.
    pub step: Option<u64>,
    /// Whether delay grows evenly: 1, or 0.
    pub is_linear: Option<u64>,
    /// The least that can be given.
    pub least: Option<u64>,
    /// How many groups there can be.
    pub groups: Option<u64>,
}

/// One domain of `mon_data`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Measured {
    /// Bytes to and from memory.
    pub total_bytes: Option<u64>,
    /// Those of them that are to and from the domain's own memory.
    pub local_bytes: Option<u64>,
    /// Bytes of the cache that are in use.
    pub occupancy_bytes: Option<u64>,
}

impl Facts {
    /// Reads those of a container's group.
    ///
    /// # Errors
    /// A kernel error where the group is not there.
    pub fn read(asked: &IntelRdt, place: &Place) -> Result<Self> {
        let folder = place.group(asked.clos_id.as_deref());
        let info = place.mount.join("info");
        let cache = text(&info.join("L3/cbm_mask")).map(|mask| Cache {
            mask,
            fewest_bits: number(&info.join("L3/min_cbm_bits")),
            groups: number(&info.join("L3/num_closids")),
        });
        let bandwidth = info.join("MB").is_dir().then(|| Bandwidth {
            step: number(&info.join("MB/bandwidth_gran")),
            is_linear: number(&info.join("MB/delay_linear")),
            least: number(&info.join("MB/min_bandwidth")),
            groups: number(&info.join("MB/num_closids")),
        });
        let own = folder.join("mon_groups").join(&place.id);
        let measured = measured(if asked.enable_monitoring && own.is_dir() { &own } else { &folder });
        let (root, schemata) = (lines(&place.mount)?, lines(&folder)?);
        Ok(Self { cache, bandwidth, root, schemata, measured })
    }
}

fn lines(group: &Path) -> Result<Vec<String>> {
    let path = group.join(SCHEMATA);
    let text = fs::read_to_string(&path).doing(|| format!("read {}", path.display()))?;
    Ok(text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect())
}

/// Each domain is a folder `mon_L3_00`, of which the number is the domain's.
fn measured(group: &Path) -> Vec<Measured> {
    let domains = fs::read_dir(group.join("mon_data")).into_iter().flatten().flatten();
    let mut folders: Vec<_> = domains.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort_unstable();
    let read = |folder: std::path::PathBuf| Measured {
        total_bytes: number(&folder.join("mbm_total_bytes")),
        local_bytes: number(&folder.join("mbm_local_bytes")),
        occupancy_bytes: number(&folder.join("llc_occupancy")),
    };
    folders.into_iter().map(read).collect()
}

fn text(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn number(path: &Path) -> Option<u64> {
    text(path)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder stands for the file system: what is in its files is as the kernel writes it.
    #[test]
    fn a_group_is_told_with_what_can_be_given_and_what_is_measured() {
        let mount = std::env::temp_dir().join(format!("carboy-resctrl-facts-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = mount.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("info/L3/cbm_mask", "fffff\n");
        write("info/L3/min_cbm_bits", "1\n");
        write("info/L3/num_closids", "16\n");
        write("info/MB/min_bandwidth", "10\n");
        write("schemata", "    MB:0=100;1=100\n    L3:0=fffff;1=fffff\n");
        write("gold/schemata", "    L3:0=0000f;1=fffff\n");
        write("gold/mon_groups/web/mon_data/mon_L3_01/mbm_total_bytes", "Unavailable\n");
        write("gold/mon_groups/web/mon_data/mon_L3_00/mbm_total_bytes", "4096\n");
        write("gold/mon_groups/web/mon_data/mon_L3_00/llc_occupancy", "128\n");
        write("gold/mon_data/mon_L3_00/llc_occupancy", "999\n");
        let place = Place { mount: mount.clone(), id: "web".to_owned() };
        let asked =
            |monitor| IntelRdt { clos_id: Some("gold".to_owned()), enable_monitoring: monitor, ..IntelRdt::default() };
        let facts = Facts::read(&asked(true), &place).unwrap();
        assert_eq!(facts.cache, Some(Cache { mask: "fffff".to_owned(), fewest_bits: Some(1), groups: Some(16) }));
        assert_eq!(facts.bandwidth.map(|bandwidth| (bandwidth.least, bandwidth.step)), Some((Some(10), None)));
        assert_eq!(facts.root, ["MB:0=100;1=100", "L3:0=fffff;1=fffff"]);
        assert_eq!(facts.schemata, ["L3:0=0000f;1=fffff"]);
        let first = Measured { total_bytes: Some(4096), local_bytes: None, occupancy_bytes: Some(128) };
        assert_eq!(facts.measured, [first, Measured::default()]);
        let shared = Facts::read(&asked(false), &place).unwrap().measured;
        assert_eq!(shared, [Measured { occupancy_bytes: Some(999), ..Measured::default() }]);
        let none = IntelRdt::default();
        assert!(Facts::read(&none, &place).unwrap_err().to_string().contains("web/schemata"));
        fs::remove_dir_all(&mount).unwrap();
    }
}
