//! From what was asked to the steps that give it: pure, so that what is explained is what is done.

use std::fmt;
use std::path::PathBuf;

use error::{Error, Refused, Result};

use crate::facts::{Commission, HostFacts};
use crate::hierarchy::{Controller, Hierarchies, Hierarchy, HierarchyIndex, Mounted, Version};
use crate::path::GroupPath;
use crate::systemd::{self, Property};
use crate::write::Write;
use crate::{cpu, cpuset, devices, evacuate, hugetlb, io, mark, memory, net_cls, net_prio, pids, rdma, unified};

/// What a container is to be held to.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// OCI's `linux.resources`.
    pub resources: &'a oci::Resources,
    /// The OCI fields (`linux.resources.pids.limit`) whose values are the engine's own defaults: where the host lacks
    /// their controller they are dropped, not refused.
    pub defaulted: &'a [&'a str],
}

/// One group in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The hierarchy.
    pub hierarchy: HierarchyIndex,
    /// What messages call the hierarchy.
    pub name: String,
    /// The group's path below the root of the mount.
    pub path: GroupPath,
}

/// `memory:/carboy-3f`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.path)
    }
}

/// Whose a new group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The container's own.
    Container,
    /// The container's own, which systemd may have made with its unit.
    Unit,
    /// One above it that did not exist: it goes with the last container in it.
    Parent,
}

/// One thing to do to the host, undone by removing the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Make a group.
    Make(Place, Role),
    /// Mount a v1 hierarchy that the container needs and nobody has mounted, unless another container has meanwhile. The
    /// last container in it unmounts it.
    Mount(Place, PathBuf),
    /// On v2: move the processes of the group above into this one, which is made for them, so that controllers can be
    /// enabled. Never undone: they could not move back.
    Evacuate(Place),
    /// On v2: let the groups below use controllers. Never undone: others may have come to rely on it.
    Enable(Place, Vec<Controller>),
    /// The same for a controller that holds the container to nothing but measures what it uses: where it cannot be had,
    /// it is done without.
    Measure(Place, Controller),
    /// Have systemd make the container's unit, and its group with it.
    Unit(Place, Commission, Vec<Property>),
    /// Have systemd remember other properties of the container's unit.
    Properties(Place, Commission, Vec<Property>),
    /// Write a value.
    Write(Place, Write),
    /// On v2: put a device program in force.
    Devices(Place, devices::Program),
    /// On v2: make a group within the container's, and give it to a user and group.
    Delegate(Place, (u32, u32)),
    /// On v2: let the groups below use every controller that this one has.
    Offer(Place),
}

impl Step {
    /// The group that it is about.
    #[must_use]
    pub const fn place(&self) -> &Place {
        match self {
            Self::Make(place, _)
            | Self::Mount(place, _)
            | Self::Evacuate(place)
            | Self::Enable(place, _)
            | Self::Measure(place, _)
            | Self::Unit(place, ..)
            | Self::Properties(place, ..)
            | Self::Write(place, _)
            | Self::Devices(place, _)
            | Self::Delegate(place, _)
            | Self::Offer(place) => place,
        }
    }
}

/// What is done, as it reads after "cannot" and in a plan.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Make(place, _) => write!(f, "create the cgroup {place}"),
            Self::Mount(place, point) => write!(f, "mount the v1 hierarchy {} on {}", place.name, point.display()),
            Self::Evacuate(place) => write!(f, "move the processes of the group above it into the cgroup {place}"),
            Self::Enable(place, controllers) => write!(f, "enable {} below {place}", names(controllers)),
            Self::Measure(place, controller) => {
                write!(f, "enable {controller} below {place} to measure it, where it can be had")
            }
            Self::Unit(_, commission, properties) => {
                write!(f, "have systemd start {} with {}", commission.unit, list(properties))
            }
            Self::Properties(_, commission, properties) => {
                write!(f, "have systemd set {} of {}", list(properties), commission.unit)
            }
            Self::Write(place, value) => write!(f, "set {value} on {place}"),
            Self::Delegate(place, (user, group)) => {
                write!(f, "create the cgroup {place} for user {user}, group {group}")
            }
            Self::Offer(place) => write!(f, "enable below {place} what it has"),
            Self::Devices(place, program) => {
                write!(f, "attach a device program of {} instructions to {place}", program.instructions.len())
            }
        }
    }
}

fn list(properties: &[Property]) -> String {
    let properties: Vec<String> = properties.iter().map(ToString::to_string).collect();
    properties.join(", ")
}

fn names(controllers: &[Controller]) -> String {
    let names: Vec<&str> = controllers.iter().map(|controller| controller.name(Version::V2)).collect();
    names.join(", ")
}

/// What a container's use is measured by on v2, where no setting asks for the controller.
const MEASURED: [Controller; 4] = [Controller::Cpu, Controller::Memory, Controller::Io, Controller::Pids];

/// What systemd enables for a delegated unit; of the others it knows nothing.
const OF_SYSTEMD: [Controller; 5] =
    [Controller::Cpu, Controller::Cpuset, Controller::Io, Controller::Memory, Controller::Pids];

/// A default that this host cannot have, or what no kernel has any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The OCI field.
    pub field: String,
    /// Its value.
    pub value: String,
    /// Why not, as a clause.
    pub reason: String,
}

/// A group that was made above a container's: what its removal needs to know. It may go to disk: the hierarchy is the
/// key of /proc/PID/cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// [`Hierarchy::key`].
    pub hierarchy: String,
    /// Its path below the root of the mount.
    pub path: GroupPath,
}

/// The groups of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The container's path, the same in every hierarchy.
    pub path: GroupPath,
    /// What to do, in this order.
    pub steps: Vec<Step>,
    /// The hierarchies to attach to: every writable one, v2 first.
    pub attach: Vec<HierarchyIndex>,
    /// Where a process that enters goes in hierarchies in which that is not the container's own group but one nested in it:
    /// on v2 one that has given controllers to the groups below it takes no process itself.
    pub nested: Vec<(HierarchyIndex, GroupPath)>,
    /// The groups above the container's that are new.
    pub parents: Vec<Parent>,
    /// The defaults that this host cannot have.
    pub dropped: Vec<Dropped>,
}

impl Plan {
    /// The values for the container's group and those made above it.
    pub fn writes(&self) -> impl Iterator<Item = (&Place, &Write)> {
        self.steps.iter().filter_map(|step| match step {
            Step::Write(place, write) => Some((place, write)),
            _ => None,
        })
    }
}

/// Plans a group for the container in every writable hierarchy, and the values it is given.
///
/// # Errors
/// Refused for values that cannot be had, for a controller that this host lacks, and for the root as the path.
pub fn plan(hierarchies: &Hierarchies, facts: &HostFacts, path: &GroupPath, asked: &Asked<'_>) -> Result<Plan> {
    if path.is_root() {
        return Err(root_refused());
    }
    let (settings, dropped) = settings(hierarchies, facts, path, asked)?;
    let mut plan = Plan {
        path: path.clone(),
        steps: Vec::new(),
        attach: Vec::new(),
        nested: Vec::new(),
        parents: Vec::new(),
        dropped,
    };
    let mut writable: Vec<_> = hierarchies.iter().filter(|(_, hierarchy)| hierarchy.obstacle.is_none()).collect();
    writable.sort_by_key(|(index, hierarchy)| (hierarchy.version == Version::V1, *index));
    if let Some(commission) = &facts.systemd {
        plan.steps.extend(unit(hierarchies, commission, &settings, asked.resources)?);
    }
    for (index, hierarchy) in writable {
        let levels = Levels { index, hierarchy, hierarchies, facts, path };
        if hierarchy.mounted != Mounted::ByHost {
            let root = place(index, hierarchy, &GroupPath::root());
            plan.steps.push(Step::Mount(root, hierarchy.mount_point.clone()));
        }
        levels.plan(&mut plan, &settings)?;
        plan.attach.push(index);
    }
    plan.steps.extend(settings);
    Ok(plan)
}

/// What the rooms give a fresh group, and the defaults that this host cannot have.
pub(crate) fn settings(
    hierarchies: &Hierarchies,
    facts: &HostFacts,
    path: &GroupPath,
    asked: &Asked<'_>,
) -> Result<(Vec<Step>, Vec<Dropped>)> {
    let mut planner = Planner { hierarchies, facts, path, asked, settings: Vec::new(), dropped: Vec::new() };
    planner.rooms()?;
    Ok((planner.settings, planner.dropped))
}

/// What systemd is asked for: a unit that has the settings as its properties.
fn unit(
    hierarchies: &Hierarchies,
    commission: &Commission,
    settings: &[Step],
    asked: &oci::Resources,
) -> Result<Option<Step>> {
    let Some(place) = systemd_place(hierarchies, commission.unit.path())? else { return Ok(None) };
    let mut properties = commission.unit.plan(&commission.description, commission.version);
    properties.extend(properties_of(hierarchies, settings, commission.version));
    // A user's systemd could load no device program either.
    if commission.runtime_dir.is_none() {
        properties.extend(systemd::devices(&asked.devices, commission.version));
    }
    Ok(Some(Step::Unit(place, commission.clone(), properties)))
}

/// The properties that say what settings write.
pub(crate) fn properties_of(hierarchies: &Hierarchies, settings: &[Step], systemd: u32) -> Vec<Property> {
    let writes = settings.iter().filter_map(|step| match step {
        Step::Write(place, write) => Some((hierarchies.at(place.hierarchy).ok()?.version, write)),
        _ => None,
    });
    systemd::settings(writes, systemd)
}

/// The group of a unit in the hierarchy that systemd keeps its units in.
pub(crate) fn systemd_place(hierarchies: &Hierarchies, path: &GroupPath) -> Result<Option<Place>> {
    let Some(index) = hierarchies.unified() else { return Ok(None) };
    Ok(Some(place(index, hierarchies.at(index)?, path)))
}

/// What must be enabled in the groups above an existing one before it takes these settings.
pub(crate) fn enabling(
    hierarchies: &Hierarchies,
    facts: &HostFacts,
    path: &GroupPath,
    settings: &[Step],
) -> Result<Vec<Step>> {
    let Some(index) = hierarchies.unified() else { return Ok(Vec::new()) };
    let hierarchy = hierarchies.at(index)?;
    let levels = Levels { index, hierarchy, hierarchies, facts, path };
    let needed = levels.needed(settings);
    let above = path.ancestors().into_iter().enumerate();
    let steps = above.flat_map(|(level, ancestor)| levels.enable(level, place(index, hierarchy, &ancestor), &needed));
    Ok(steps.filter(|step| !matches!(step, Step::Measure(..))).collect())
}

/// The refusal of the root of a hierarchy as a container's group.
pub(crate) fn root_refused() -> Error {
    Refused::new("linux.cgroupsPath", "/", "is the root of the hierarchy, which holds the whole host")
        .hint("name a group below it")
        .into()
}

pub(crate) fn place(index: HierarchyIndex, hierarchy: &Hierarchy, path: &GroupPath) -> Place {
    Place { hierarchy: index, name: hierarchy.to_string(), path: path.clone() }
}

/// Collects what the rooms give.
struct Planner<'a> {
    hierarchies: &'a Hierarchies,
    facts: &'a HostFacts,
    path: &'a GroupPath,
    asked: &'a Asked<'a>,
    settings: Vec<Step>,
    dropped: Vec<Dropped>,
}

impl Planner<'_> {
    fn rooms(&mut self) -> Result<()> {
        let asked = self.asked.resources;
        if let Some(memory) = &asked.memory {
            let writes = match self.version(Controller::Memory) {
                Version::V1 => memory::plan_v1(memory)?,
                Version::V2 => memory::plan_v2(memory)?,
            };
            self.swap_and_rest(writes)?;
            let left_out = memory::left_out(memory);
            self.dropped.extend(left_out.map(|Refused { field, value, reason, .. }| Dropped { field, value, reason }));
        }
        if let Some(cpu) = &asked.cpu {
            let writes = match self.version(Controller::Cpu) {
                Version::V1 => cpu::plan_v1(cpu, self.facts.bandwidth)?,
                Version::V2 => cpu::plan_v2(cpu)?,
            };
            self.extend(writes)?;
        }
        self.cpuset(asked.cpu.as_ref())?;
        if let Some(pids) = &asked.pids {
            let writes = match self.version(Controller::Pids) {
                Version::V1 => pids::plan_v1(pids)?,
                Version::V2 => pids::plan_v2(pids)?,
            };
            self.extend(writes)?;
        }
        self.less_common(asked)?;
        for (file, value) in &asked.unified {
            self.unified(unified::plan_v2(file, value)?)?;
        }
        self.devices(&asked.devices)
    }

    fn less_common(&mut self, asked: &oci::Resources) -> Result<()> {
        if let Some(io) = &asked.block_io {
            let writes = match self.version(Controller::Io) {
                Version::V1 => io::plan_v1(io, self.facts.weights)?,
                Version::V2 => io::plan_v2(io, self.facts.weights)?,
            };
            self.extend(writes)?;
        }
        let writes = match self.version(Controller::Hugetlb) {
            Version::V1 => hugetlb::plan_v1(&asked.hugepage_limits, &self.facts.page_sizes)?,
            Version::V2 => hugetlb::plan_v2(&asked.hugepage_limits, &self.facts.page_sizes)?,
        };
        self.extend(writes)?;
        if let Some(network) = &asked.network {
            // A host without classes gives none anyway.
            let is_none = network.class_id == Some(0) && self.hierarchies.of(Controller::NetCls).is_none();
            if !is_none && mark::plan(self.hierarchies, self.path, Some(network))?.is_none() {
                self.extend(net_cls::plan_v1(network))?;
            }
            self.extend(net_prio::plan_v1(network)?)?;
        }
        let writes = match self.version(Controller::Rdma) {
            Version::V1 => rdma::plan_v1(&asked.rdma)?,
            Version::V2 => rdma::plan_v2(&asked.rdma)?,
        };
        self.extend(writes)
    }

    /// A controller that is nowhere is planned as v1's, so that bad values are refused before the lack of it.
    fn version(&self, controller: Controller) -> Version {
        self.hierarchies.of(controller).map_or(Version::V1, |hierarchy| hierarchy.version)
    }

    fn extend(&mut self, writes: Vec<Write>) -> Result<()> {
        writes.into_iter().try_for_each(|write| self.push(write))
    }

    fn push(&mut self, write: Write) -> Result<()> {
        match self.hierarchies.writable(write.controller, &write.field, &write.value) {
            Ok(index) => {
                let place = place(index, self.hierarchies.at(index)?, self.path);
                self.settings.push(Step::Write(place, write));
                Ok(())
            }
            Err(error) => self.drop_or_refuse(error),
        }
    }

    fn drop_or_refuse(&mut self, error: Error) -> Result<()> {
        match error {
            Error::Refused(refused) if self.asked.defaulted.contains(&refused.field.as_str()) => {
                let Refused { field, value, reason, .. } = *refused;
                self.dropped.push(Dropped { field, value, reason });
                Ok(())
            }
            error => Err(error),
        }
    }

    fn swap_and_rest(&mut self, writes: Vec<Write>) -> Result<()> {
        for write in writes {
            match memory::refuse_swap_v1(&write).filter(|_| !self.facts.swap) {
                Some(refused) => self.drop_or_refuse(refused.into())?,
                None => self.push(write)?,
            }
        }
        Ok(())
    }

    fn cpuset(&mut self, cpu: Option<&oci::Cpu>) -> Result<()> {
        let nothing = oci::Cpu::default();
        let cpu = cpu.unwrap_or(&nothing);
        let available = self.facts.cpuset.as_ref();
        let usable = self.hierarchies.of(Controller::Cpuset).filter(|hierarchy| hierarchy.obstacle.is_none());
        let writes = match (usable.map(|hierarchy| hierarchy.version), available) {
            (Some(Version::V1), Some(parent)) => cpuset::plan_v1(cpu, parent)?,
            (_, available) => cpuset::plan_v2(cpu, available)?,
        };
        self.extend(writes)
    }

    /// A file of v2 needs its controller there, whatever v1 has.
    fn unified(&mut self, write: Write) -> Result<()> {
        if unified::is_core(&write.file) {
            let index = self.hierarchies.writable_unified(&write.field, &write.value)?;
            let place = place(index, self.hierarchies.at(index)?, self.path);
            self.settings.push(Step::Write(place, write));
            return Ok(());
        }
        let version = self.hierarchies.of(write.controller).map(|hierarchy| hierarchy.version);
        if version == Some(Version::V1) {
            let reason = format!("is a file of cgroup v2, and this host has {} on v1", write.controller);
            return Err(Refused::new(write.field, write.value, reason).hint("use the setting's own field").into());
        }
        self.push(write)
    }

    fn devices(&mut self, rules: &[oci::DeviceRule]) -> Result<()> {
        let index = match self.hierarchies.writable(Controller::Devices, devices::FIELD, "") {
            Ok(index) => index,
            Err(Error::Refused(refused)) if rules.is_empty() => {
                let Refused { field, value, reason, .. } = *refused;
                self.dropped.push(Dropped { field, value, reason });
                return Ok(());
            }
            Err(error) => return self.drop_or_refuse(error),
        };
        match self.version(Controller::Devices) {
            Version::V1 => self.extend(devices::plan_v1(rules)?),
            Version::V2 => {
                let place = place(index, self.hierarchies.at(index)?, self.path);
                self.settings.extend(devices::plan_v2(rules)?.map(|program| Step::Devices(place, program)));
                Ok(())
            }
        }
    }
}

/// The groups of one hierarchy from its root down to the container's.
struct Levels<'a> {
    index: HierarchyIndex,
    hierarchy: &'a Hierarchy,
    hierarchies: &'a Hierarchies,
    facts: &'a HostFacts,
    path: &'a GroupPath,
}

impl Levels<'_> {
    fn plan(&self, plan: &mut Plan, settings: &[Step]) -> Result<()> {
        if self.facts.systemd.is_some() && self.hierarchy.version == Version::V2 {
            let mut needed = self.needed(settings);
            needed.retain(|controller| !OF_SYSTEMD.contains(controller));
            for (level, ancestor) in self.path.ancestors().iter().enumerate() {
                let steps = self.enable(level, place(self.index, self.hierarchy, ancestor), &needed);
                plan.steps.extend(steps.into_iter().filter(|step| matches!(step, Step::Enable(..))));
            }
            plan.steps.push(Step::Make(place(self.index, self.hierarchy, self.path), Role::Unit));
            return Ok(());
        }
        let needed = self.needed(settings);
        let existing = self.facts.ancestors.get(self.index.0).copied().unwrap_or(1);
        for (level, ancestor) in self.path.ancestors().iter().enumerate() {
            let place = place(self.index, self.hierarchy, ancestor);
            if level >= existing {
                plan.steps.push(Step::Make(place.clone(), Role::Parent));
                plan.parents.push(Parent { hierarchy: self.hierarchy.key(), path: ancestor.clone() });
                for write in self.inherited()? {
                    plan.steps.push(Step::Write(place.clone(), write));
                }
            }
            plan.steps.extend(self.filled(ancestor).map(|write| Step::Write(place.clone(), write)));
            plan.steps.extend(self.enable(level, place, &needed));
        }
        let role = if self.facts.systemd.is_some() { Role::Unit } else { Role::Container };
        plan.steps.push(Step::Make(place(self.index, self.hierarchy, self.path), role));
        Ok(())
    }

    /// Enables what is not yet, below one of the groups above the container's.
    fn enable(&self, level: usize, place: Place, needed: &[Controller]) -> Vec<Step> {
        let enabled = self.facts.enabled.get(level).map_or(&[][..], Vec::as_slice);
        let mut steps = Vec::new();
        let first = self.hierarchy.first_level();
        if level < first {
            return steps;
        }
        let missing: Vec<Controller> = needed.iter().copied().filter(|one| !enabled.contains(one)).collect();
        let wanted: Vec<Controller> = MEASURED
            .into_iter()
            .filter(|one| self.hierarchy.version == Version::V2 && self.hierarchy.controllers.contains(one))
            .filter(|one| !enabled.contains(one) && !missing.contains(one))
            .collect();
        if !missing.is_empty() {
            if level == first && self.facts.inhabited {
                let leaf = place.path.join(evacuate::LEAF);
                steps.push(Step::Evacuate(Place { path: leaf, ..place.clone() }));
            }
            steps.push(Step::Enable(place.clone(), missing));
        }
        steps.extend(wanted.into_iter().map(|controller| Step::Measure(place.clone(), controller)));
        steps
    }

    /// What must be enabled above the container's group; nothing on v1.
    fn needed(&self, settings: &[Step]) -> Vec<Controller> {
        let mut needed: Vec<Controller> = Vec::new();
        for step in settings.iter().filter(|step| step.place().hierarchy == self.index) {
            if let Step::Write(_, write) = step
                && self.hierarchy.version == Version::V2
                && !write.controller.is_implicit_on_v2()
                && !needed.contains(&write.controller)
            {
                needed.push(write.controller);
            }
        }
        needed
    }

    /// What a group above the container's lacks on v1 to let a process join below it.
    fn filled(&self, ancestor: &GroupPath) -> impl Iterator<Item = Write> {
        let parent = self.facts.cpuset.as_ref().filter(|_| self.is_v1_cpuset());
        let hollow = parent.into_iter().flat_map(|parent| &parent.hollow);
        hollow.filter(move |hollow| hollow.group == *ancestor).flat_map(cpuset::fill_v1)
    }

    fn is_v1_cpuset(&self) -> bool {
        self.hierarchy.version == Version::V1 && self.hierarchies.index_of(Controller::Cpuset) == Some(self.index)
    }

    /// A v1 cpuset is empty when it is made, and what is below it can only have less.
    fn inherited(&self) -> Result<Vec<Write>> {
        match self.facts.cpuset.as_ref().filter(|_| self.is_v1_cpuset()) {
            Some(parent) => cpuset::inherit_v1(parent),
            None => Ok(Vec::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hierarchy::samples;
    use crate::write::INHERITED;

    fn facts(hierarchies: &Hierarchies) -> HostFacts {
        let set = |text| cpuset::Set::parse(text).unwrap();
        HostFacts {
            ancestors: hierarchies.iter().map(|_| 1).collect(),
            cpuset: Some(cpuset::Available { cpus: set("0-3"), mems: set("0"), hollow: Vec::new() }),
            bandwidth: None,
            swap: true,
            systemd: None,
            enabled: vec![Vec::new()],
            inhabited: false,
            weights: None,
            page_sizes: Vec::new(),
        }
    }

    fn resources(json: &str) -> oci::Resources {
        serde_json::from_str(json).unwrap()
    }

    fn path(text: &str) -> GroupPath {
        GroupPath::parse("linux.cgroupsPath", text).unwrap()
    }

    fn planned(hierarchies: &Hierarchies, at: &str, json: &str) -> Result<Plan> {
        let resources = resources(json);
        plan(hierarchies, &facts(hierarchies), &path(at), &Asked { resources: &resources, defaulted: &[] })
    }

    /// The steps as text, those for devices left out.
    fn shown(plan: &Plan) -> Vec<String> {
        plan.steps
            .iter()
            .map(ToString::to_string)
            .filter(|step| !step.contains("devices.") && !step.contains("device program"))
            .collect()
    }

    const ALLOW_ALL: &str = r#"{"allow":true,"access":"rwm"}"#;

    #[test]
    fn on_v2_controllers_are_enabled_from_the_root_down_before_the_group_is_made() {
        let json =
            r#"{"memory":{"limit":67108864},"pids":{"limit":20},"cpu":{"quota":50000},"unified":{"memory.high":"1"}}"#;
        let plan = planned(&samples::v2(), "/team/web", json).unwrap();
        assert_eq!(
            shown(&plan),
            [
                "enable memory, cpu, pids below unified:/",
                "enable io below unified:/ to measure it, where it can be had",
                "create the cgroup unified:/team",
                "enable memory, cpu, pids below unified:/team",
                "enable io below unified:/team to measure it, where it can be had",
                "create the cgroup unified:/team/web",
                "set memory.max = 67108864 on unified:/team/web",
                "set cpu.max = 50000 100000 on unified:/team/web",
                "set pids.max = 20 on unified:/team/web",
                "set memory.high = 1 on unified:/team/web",
            ]
        );
        assert!(matches!(plan.steps.last(), Some(Step::Devices(..))));
        assert_eq!(plan.parents, [Parent { hierarchy: String::new(), path: path("/team") }]);
    }

    #[test]
    fn above_what_was_handed_over_nothing_is_written_and_what_was_not_is_refused() {
        let mut host = samples::v2();
        for hierarchy in &mut host.all {
            hierarchy.top = Some(path("/user/top"));
            hierarchy.controllers = vec![Controller::Pids];
        }
        let facts = HostFacts { ancestors: vec![3], enabled: vec![Vec::new(); 3], inhabited: true, ..facts(&host) };
        let planned = |json: &str, defaulted: &[&str]| {
            plan(&host, &facts, &path("/user/top/c"), &Asked { resources: &resources(json), defaulted })
        };
        assert_eq!(
            shown(&planned(r#"{"pids":{"limit":20}}"#, &[]).unwrap()),
            [
                "move the processes of the group above it into the cgroup unified:/user/top/carboy-init",
                "enable pids below unified:/user/top",
                "create the cgroup unified:/user/top/c",
                "set pids.max = 20 on unified:/user/top/c",
            ]
        );
        let refused = planned(r#"{"memory":{"limit":67108864}}"#, &[]).unwrap_err().to_string();
        assert!(refused.contains("was not handed over to you: it is not in /sys/fs/cgroup/user/top/"), "{refused}");
        let devices = format!(r#"{{"devices":[{ALLOW_ALL}]}}"#);
        let refused = planned(&devices, &[]).unwrap_err().to_string();
        assert!(refused.contains("needs a device program, which the kernel lets root alone load"), "{refused}");
        assert_eq!(planned(&devices, &[devices::FIELD]).unwrap().dropped.len(), 1);
    }

    #[test]
    fn processes_in_the_root_of_a_container_s_view_make_way_before_the_first_controller_is_enabled() {
        let host = samples::v2();
        let shown = |inhabited, enabled: &[Controller], json: &str| {
            let facts = HostFacts { inhabited, enabled: vec![enabled.to_vec()], ..facts(&host) };
            let asked = resources(json);
            shown(&plan(&host, &facts, &path("/c"), &Asked { resources: &asked, defaulted: &[] }).unwrap())
        };
        let evacuate = "move the processes of the group above it into the cgroup unified:/carboy-init";
        let limit = r#"{"pids":{"limit":20}}"#;
        assert_eq!(shown(true, &[], limit)[..2], [evacuate, "enable pids below unified:/"]);
        assert!(!shown(false, &[], limit).contains(&evacuate.to_owned()));
        assert!(!shown(true, &[Controller::Pids], limit).contains(&evacuate.to_owned()), "they are gone already");
        assert!(!shown(true, &[], "{}").contains(&evacuate.to_owned()), "nobody is moved for being measured");
    }

    #[test]
    fn a_hierarchy_of_carboy_s_own_is_mounted_before_its_group_is_made() {
        let mount = "90 1 0:60 / /run/carboy/cgroup/net_cls rw - cgroup /run/carboy/cgroup/net_cls rw,net_cls\n";
        let host = Hierarchies::parse(format!("{}{mount}", samples::HYBRID).as_bytes(), b"");
        let plan = planned(&host, "/c", r#"{"network":{"classID":1048577}}"#).unwrap();
        let steps: Vec<String> = shown(&plan).into_iter().filter(|step| step.contains("net_cls")).collect();
        assert_eq!(
            steps,
            [
                "mount the v1 hierarchy net_cls on /run/carboy/cgroup/net_cls",
                "create the cgroup net_cls:/c",
                "set net_cls.classid = 1048577 on net_cls:/c",
            ]
        );
        assert_eq!(plan.attach.len(), 10);
    }

    #[test]
    fn what_is_enabled_already_or_not_needed_is_not_enabled() {
        let host = samples::v2();
        let asked = resources(r#"{"memory":{"limit":67108864},"pids":{"limit":20}}"#);
        let with = |enabled: &[Controller], asked: &oci::Resources| {
            let facts = HostFacts { enabled: vec![enabled.to_vec()], ..facts(&host) };
            shown(&plan(&host, &facts, &path("/c"), &Asked { resources: asked, defaulted: &[] }).unwrap())
        };
        let steps = with(&[Controller::Memory, Controller::Cpu, Controller::Io], &asked);
        assert_eq!(steps[..2], ["enable pids below unified:/", "create the cgroup unified:/c"]);
        assert_eq!(with(&MEASURED, &oci::Resources::default()), ["create the cgroup unified:/c"]);
    }

    #[test]
    fn a_hybrid_host_gets_a_group_in_every_hierarchy_v2_first_and_each_value_in_its_own() {
        let json =
            format!(r#"{{"devices":[{ALLOW_ALL}],"memory":{{"limit":67108864}},"unified":{{"hugetlb.2MB.max":"0"}}}}"#);
        let plan = planned(&samples::hybrid(), "/c", &json).unwrap();
        assert_eq!(
            shown(&plan),
            [
                "enable hugetlb below unified:/",
                "create the cgroup unified:/c",
                "create the cgroup cpu:/c",
                "create the cgroup cpuacct:/c",
                "create the cgroup cpuset:/c",
                "create the cgroup memory:/c",
                "create the cgroup devices:/c",
                "create the cgroup freezer:/c",
                "create the cgroup pids:/c",
                "create the cgroup name=systemd:/c",
                "set memory.limit_in_bytes = 67108864 on memory:/c",
                "set cpuset.cpus = 0-3 on cpuset:/c",
                "set cpuset.mems = 0 on cpuset:/c",
                "set hugetlb.2MB.max = 0 on unified:/c",
            ]
        );
        assert_eq!(plan.attach.len(), 9);
        assert!(plan.parents.is_empty());
    }

    #[test]
    fn a_missing_parent_on_v1_is_made_with_the_cpus_of_the_one_above() {
        let plan = planned(&samples::hybrid(), "/team/web", r#"{"cpu":{"cpus":"1"}}"#).unwrap();
        let cpuset: Vec<String> = shown(&plan).into_iter().filter(|step| step.contains("cpuset:")).collect();
        assert_eq!(
            cpuset,
            [
                "create the cgroup cpuset:/team",
                "set cpuset.cpus = 0-3 on cpuset:/team",
                "set cpuset.mems = 0 on cpuset:/team",
                "create the cgroup cpuset:/team/web",
                "set cpuset.cpus = 1 on cpuset:/team/web",
                "set cpuset.mems = 0 on cpuset:/team/web",
            ]
        );
        assert_eq!(plan.writes().filter(|(_, write)| write.field == INHERITED).count(), 3);
        assert_eq!(plan.parents.len(), 9);
    }

    #[test]
    fn a_parent_that_exists_is_used_and_not_ours() {
        let host = samples::hybrid();
        let facts = HostFacts { ancestors: vec![2; 9], ..facts(&host) };
        let asked = oci::Resources::default();
        let plan = plan(&host, &facts, &path("/team/web"), &Asked { resources: &asked, defaulted: &[] }).unwrap();
        assert!(plan.parents.is_empty());
        assert!(!shown(&plan).contains(&"create the cgroup memory:/team".to_owned()));
    }

    #[test]
    fn a_controller_that_the_host_lacks_is_refused_unless_the_value_was_a_default() {
        let host = Hierarchies::parse(samples::HYBRID.replace("rw,pids", "rw,name=other").as_bytes(), b"");
        let asked = resources(r#"{"pids":{"limit":2048}}"#);
        let with =
            |defaulted: &[&str]| plan(&host, &facts(&host), &path("/c"), &Asked { resources: &asked, defaulted });
        let error = with(&[]).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("cannot use linux.resources.pids.limit 2048: needs the pids cgroup controller")
        );
        let plan = with(&["linux.resources.pids.limit"]).unwrap();
        assert_eq!(plan.dropped.len(), 1);
        assert_eq!(
            (plan.dropped[0].field.as_str(), plan.dropped[0].value.as_str()),
            ("linux.resources.pids.limit", "2048")
        );
    }

    #[test]
    fn a_bad_value_is_refused_also_where_its_controller_is_missing() {
        let none = Hierarchies::default();
        let error = planned(&none, "/c", r#"{"cpu":{"cpus":"x"}}"#).unwrap_err();
        assert!(error.to_string().contains("is not a list"), "{error}");
        let error = planned(&none, "/c", r#"{"memory":{"limit":1}}"#).unwrap_err();
        assert!(error.to_string().ends_with("needs the memory cgroup controller, and no cgroup hierarchy is mounted"));
    }

    #[test]
    fn a_host_without_any_hierarchy_gets_no_groups() {
        let plan = planned(&Hierarchies::default(), "/c", "{}").unwrap();
        assert_eq!((plan.steps.len(), plan.dropped.len()), (0, 1));
    }

    #[test]
    fn swap_is_refused_or_dropped_where_the_kernel_does_not_account_it() {
        let host = samples::hybrid();
        let facts = HostFacts { swap: false, ..facts(&host) };
        let asked = resources(r#"{"memory":{"limit":67108864,"swap":134217728}}"#);
        let with = |defaulted: &[&str]| plan(&host, &facts, &path("/c"), &Asked { resources: &asked, defaulted });
        assert!(with(&[]).is_err());
        assert_eq!(with(&["linux.resources.memory.swap"]).unwrap().dropped.len(), 1);
    }

    #[test]
    fn a_read_only_hierarchy_gets_no_group() {
        let nested = samples::nested();
        let plan = planned(&nested, "/c", &format!(r#"{{"devices":[{ALLOW_ALL}]}}"#));
        assert!(plan.is_err(), "no devices controller");
        let plan = planned(&nested, "/c", "{}").unwrap();
        assert_eq!(shown(&plan), ["create the cgroup memory:/c"]);
    }

    #[test]
    fn a_v2_file_of_a_v1_controller_is_refused() {
        assert!(planned(&samples::hybrid(), "/c", r#"{"unified":{"memory.high":"1"}}"#).is_err());
    }

    #[test]
    fn the_root_is_refused() {
        assert!(planned(&samples::v2(), "/", "{}").is_err());
    }
}
