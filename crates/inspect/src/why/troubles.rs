//! What can happen to a subject, each found in the two snapshots with its causes, its victims, and who else uses what was short.

use std::cmp::Reverse;
use std::path::Path;

use crate::ladder::Resource;
use crate::snapshot::{Group, Reading, Stalls};
use crate::why::pair::{Counter, Number, Pair, at, number_of, reasons, stalls, waits};
use crate::why::{Cause, Cpu, Disks, Evidence, Finding, HostState, Rival, Still, Trouble, Why, share};

/// Waiting for a CPU is told from this part of the time on, in hundredths of a percent.
const CROWDED: u64 = 500;
/// Waiting for memory or disks is.
const STALLED: u64 = 200;
/// Being held back by a quota is.
const HELD_BACK: u64 = 50;
/// A level counts as full where so many bytes are left: charges are made in batches of pages.
const NEARLY_BYTES: u64 = 256 << 10;
/// Who uses less than this part of the time or of the limit is no rival, in hundredths of a percent.
const RIVALS_SHARE: u64 = 100;
/// How many others are named.
const RIVALS: usize = 3;

impl Pair<'_> {
    pub(super) fn why(&self) -> Why {
        let mut findings: Vec<Finding> = [
            self.frozen(),
            self.killed(),
            self.refused(),
            self.held_back(),
            self.crowded(),
            self.reclaiming(),
            self.io(),
        ]
        .into_iter()
        .flatten()
        .collect();
        let still = self.still();
        let is_frozen = findings.iter().any(|finding| finding.trouble == Trouble::Frozen);
        findings.extend(self.stopped(&still));
        // What a freezer holds waits in the kernel too.
        findings.extend(self.stuck(&still).filter(|_| !is_frozen));
        Why {
            elapsed_usec: self.elapsed_usec,
            is_there: self.is_there(),
            processes: self.after.processes.len(),
            cpu: Cpu {
                used_usec: self.cpu_used(),
                limit: self.ladder(Resource::Cpu).effective(),
                cpus: self.cpus(),
                weight: self.cpu_weight(),
            },
            memory: self.held(Resource::Memory, Counter::Kills),
            pids: self.held(Resource::Pids, Counter::Forks),
            stalls: self.waits(),
            host: HostState {
                cpus: self.after.host.cpus,
                memory_bytes: self.after.host.memory_bytes,
                available_bytes: self.after.host.available_bytes,
                stalls: waits(&self.before.host.stalls, &self.after.host.stalls),
            },
            disks: self.disks(),
            still,
            findings,
        }
    }

    fn frozen(&self) -> Option<Finding> {
        let of = |group: &Group| group.reasons.as_ref().map(|reasons| reasons.freezer);
        let frozen = self.own().find(|group| of(group).is_some_and(|one| one.is_frozen == Some(true)))?;
        let levels = std::iter::successors(Some(frozen), |group| self.after.groups.get(group.parent?));
        let told =
            levels.take(self.after.groups.len()).find(|group| of(group).is_some_and(|one| one.is_told == Some(true)));
        let cause = told.map(|group| Cause::of(group, Reading::Absent, Evidence::Moved));
        Some(Finding {
            causes: cause.into_iter().collect(),
            victims: vec![frozen.path.clone()],
            ..Finding::new(Trouble::Frozen)
        })
    }

    fn killed(&self) -> Option<Finding> {
        let (count, victims) = self.victims(Counter::Kills);
        let before = at(self.since_start(Counter::Kills)).unwrap_or(0);
        if count == 0 && before == 0 {
            return None;
        }
        let causes = self.short_of_memory(if count > 0 { When::Lately } else { When::Ever });
        let rivals = self.rivals(causes.first(), |_, group| at(group.memory.usage));
        let victims = if victims.is_empty() { self.own_path(Resource::Memory) } else { victims };
        Some(Finding { count: Some(count), causes, victims, rivals, ..Finding::new(Trouble::Killed) })
    }

    /// The level whose memory limit was reached: by its counters, else the one that is or was full, else the smallest.
    fn short_of_memory(&self, when: When) -> Vec<Cause> {
        let ladder = self.ladder(Resource::Memory);
        let reached: Number = |group| reasons(group, |found| found.memory_reached);
        let oom: Number = |group| reasons(group, |found| found.memory_oom);
        let mut causes = Vec::new();
        for rung in &ladder.rungs {
            let Some(limit) = at(rung.limited.limit) else { continue };
            let group = rung.group;
            let hits = self.moved(group, reached);
            let has = |number: Number| at(number(group)).is_some_and(|number| number > 0);
            let has_moved = |number: Number| self.moved(group, number).is_some_and(|by| by > 0);
            let most = at(reasons(group, |found| found.memory_peak)).max(at(group.memory.usage));
            let is_full = most.is_some_and(|most| most.saturating_add(NEARLY_BYTES) >= limit);
            let known = if when == When::Lately && (has_moved(oom) || has_moved(reached)) {
                Evidence::Moved
            } else if has(oom) || has(reached) {
                Evidence::Counted
            } else if is_full {
                Evidence::Full
            } else {
                Evidence::Binds
            };
            let peak = reasons(group, |found| found.memory_peak);
            let hits_since_start = reached(group);
            causes.push(Cause { hits, hits_since_start, peak, ..Cause::of(group, rung.limited.limit, known) });
        }
        likeliest(causes)
    }

    fn refused(&self) -> Option<Finding> {
        let (by_victims, victims) = self.victims(Counter::Forks);
        let ladder = self.ladder(Resource::Pids);
        let at_levels = ladder.rungs.iter().filter_map(|rung| self.moved(rung.group, |group| group.pids.hits));
        let count = by_victims.max(at_levels.fold(0, u64::saturating_add));
        let since_start = at(self.since_start(Counter::Forks)).unwrap_or(0);
        let is_full = ladder.headroom() == Some(0);
        if count == 0 && since_start == 0 && !is_full {
            return None;
        }
        let mut causes = Vec::new();
        for rung in &ladder.rungs {
            let Some(limit) = at(rung.limited.limit) else { continue };
            let group = rung.group;
            let hits = self.moved(group, |group| group.pids.hits);
            let peak = reasons(group, |found| found.pids_peak);
            let was_full = at(peak).max(at(rung.limited.usage)).is_some_and(|most| most >= limit);
            let known = match (hits, at(group.pids.hits)) {
                (Some(1..), _) => Evidence::Moved,
                (_, Some(1..)) => Evidence::Counted,
                _ if was_full => Evidence::Full,
                _ => Evidence::Binds,
            };
            let hits_since_start = group.pids.hits;
            causes.push(Cause { hits, hits_since_start, peak, ..Cause::of(group, rung.limited.limit, known) });
        }
        let causes = likeliest(causes);
        let rivals = self.rivals(causes.first(), |_, group| at(group.pids.usage));
        let victims = if victims.is_empty() { self.own_path(Resource::Pids) } else { victims };
        Some(Finding { count: Some(count), causes, victims, rivals, ..Finding::new(Trouble::Refused) })
    }

    /// The levels whose quota ran out meanwhile.
    fn quotas_hit(&self) -> Vec<Cause> {
        let mut causes = Vec::new();
        for rung in self.ladder(Resource::Cpu).rungs {
            let hits = self.moved(rung.group, |group| group.cpu.hits).filter(|hits| *hits > 0);
            let periods = self.moved(rung.group, |group| reasons(group, |found| found.cpu_periods));
            let hits_since_start = rung.group.cpu.hits;
            let cause = Cause::of(rung.group, rung.limited.limit, Evidence::Moved);
            causes.extend(hits.map(|_| Cause { hits, periods, hits_since_start, ..cause }));
        }
        causes.sort_by_key(|cause| (Reverse(cause.hits), number_of(cause.limit)));
        causes
    }

    /// How long the subject was held back; `None` where nothing tells.
    fn held_back_usec(&self, causes: &[Cause]) -> Option<u64> {
        if let Some(waited) = self.process_moved(|work| work.delayed_usec).filter(|waited| *waited > 0) {
            return Some(waited.min(self.elapsed_usec));
        }
        let local: Number = |group| reasons(group, |found| found.held_back_usec);
        let local = self.own_and_below(local).filter_map(|group| self.moved(group, local)).reduce(u64::saturating_add);
        let own = self.ladder(Resource::Cpu).rungs.first().map(|rung| rung.group);
        let own = own.filter(|own| causes.iter().any(|cause| cause.level.as_ref() == Some(&own.path)));
        let own = || own.and_then(|own| self.moved(own, |group| group.throttled_usec));
        // Pressure has those too that are far below, but tells less where a process moves between CPUs.
        let stalled = self.waits().cpu.some_usec;
        match local.filter(|usec| *usec > 0).or_else(own) {
            // All CPUs together may have lost more time than went by.
            Some(usec) if usec > self.elapsed_usec => Some(stalled.unwrap_or(usec).min(self.elapsed_usec)),
            Some(usec) => Some(usec),
            None => stalled.map(|usec| usec.min(self.elapsed_usec)).or(local),
        }
    }

    fn held_back(&self) -> Option<Finding> {
        let causes = self.quotas_hit();
        let first = causes.first()?;
        let usec = self.held_back_usec(&causes);
        if usec.is_some_and(|usec| share(usec, self.elapsed_usec) < HELD_BACK) {
            return None;
        }
        let rivals = self.rivals(Some(first), Self::cpu_of);
        let victims = self.own_path(Resource::Cpu);
        Some(Finding { usec, causes, victims, rivals, ..Finding::new(Trouble::HeldBack) })
    }

    fn cpu_of(&self, group: &Group) -> Option<u64> {
        let used = self.moved(group, |group| reasons(group, |found| found.cpu_usage_usec))?;
        (share(used, self.elapsed_usec) >= RIVALS_SHARE).then_some(used)
    }

    /// It waited for a CPU and no quota was in the way: there are more that want to run than CPUs.
    fn crowded(&self) -> Option<Finding> {
        let waited = self.process_moved(|work| work.delayed_usec).or(self.waits().cpu.some_usec)?;
        let held_back = if self.quotas_hit().is_empty() { 0 } else { waited };
        let usec = waited.saturating_sub(held_back).min(self.elapsed_usec);
        if share(usec, self.elapsed_usec) < CROWDED {
            return None;
        }
        let mut rivals = self.rivals(None, Self::cpu_of);
        rivals.iter_mut().for_each(|rival| rival.weights = self.weights(&rival.path));
        let victims = self.own_path(Resource::Cpu);
        let limit = Reading::At(self.cpus().saturating_mul(1_000_000));
        let causes = vec![Cause::of_host(limit)];
        Some(Finding { usec: Some(usec), causes, victims, rivals, ..Finding::new(Trouble::Crowded) })
    }

    fn reclaiming(&self) -> Option<Finding> {
        let usec = self.waits().memory.some_usec.map(|usec| usec.min(self.elapsed_usec));
        let is_long = usec.is_some_and(|usec| share(usec, self.elapsed_usec) >= STALLED);
        let mut causes = self.brakes();
        let reached = self.short_of_memory(When::Lately).into_iter().filter(|cause| cause.known == Evidence::Moved);
        causes.extend(reached);
        if causes.is_empty() && !is_long {
            return None;
        }
        if causes.is_empty() {
            causes.push(Cause::of_host(Reading::At(self.after.host.memory_bytes)));
        }
        let rivals =
            self.rivals(causes.first().filter(|cause| cause.level.is_some()), |_, group| at(group.memory.usage));
        let victims = self.own_path(Resource::Memory);
        Some(Finding { usec, causes, victims, rivals, ..Finding::new(Trouble::Reclaiming) })
    }

    /// The levels that slowed processes down because they use much memory.
    fn brakes(&self) -> Vec<Cause> {
        let brake = |group: &Group| group.reasons.as_ref().map(|reasons| reasons.memory_brake).unwrap_or_default();
        let hits: Number = |group| reasons(group, |found| found.memory_brake.hits);
        let moved = self.ladder(Resource::Memory).rungs.into_iter().filter_map(|rung| {
            let by = self.moved(rung.group, hits).filter(|by| *by > 0)?;
            let cause = Cause::of(rung.group, brake(rung.group).limit, Evidence::Moved);
            let peak = reasons(rung.group, |found| found.memory_peak);
            Some(Cause { is_brake: true, hits: Some(by), hits_since_start: hits(rung.group), peak, ..cause })
        });
        moved.collect()
    }

    fn io(&self) -> Option<Finding> {
        let usec = self.waits().io.some_usec.filter(|usec| share(*usec, self.elapsed_usec) >= STALLED)?;
        let level = |disks: &Disks| Cause { level: Some(disks.path.clone()), ..Cause::of_host(Reading::Absent) };
        let mut causes: Vec<Cause> = self.disks().iter().map(level).collect();
        if causes.is_empty() {
            causes.push(Cause::of_host(Reading::Absent));
        }
        let victims = self.own().find(|group| stalls(group).is_some_and(|one| one != Stalls::default()));
        let victims = victims.map(|group| group.path.clone()).into_iter().collect();
        let usec = Some(usec.min(self.elapsed_usec));
        Some(Finding { usec, causes, victims, ..Finding::new(Trouble::Io) })
    }

    fn stopped(&self, still: &[Still]) -> Option<Finding> {
        let count = still.iter().filter(|one| matches!(one.state, 'T' | 't')).count();
        let finding = || Finding {
            count: u64::try_from(count).ok(),
            victims: self.own_path(Resource::Cpu),
            ..Finding::new(Trouble::Stopped)
        };
        (count > 0).then(finding)
    }

    fn stuck(&self, still: &[Still]) -> Option<Finding> {
        let count = still.iter().filter(|one| one.state == 'D' && one.is_lasting).count();
        let finding = || Finding {
            count: u64::try_from(count).ok(),
            victims: self.own_path(Resource::Cpu),
            ..Finding::new(Trouble::Stuck)
        };
        (count > 0).then(finding)
    }

    /// Who else below the cause's level uses the resource; below any level on the way to the root for the host's. Where the
    /// level is the subject's own, nobody else.
    fn rivals(&self, cause: Option<&Cause>, usage: impl Fn(&Self, &Group) -> Option<u64>) -> Vec<Rival> {
        let level = cause.and_then(|cause| cause.level.as_ref());
        let is_on_the_way = |path: &Path| self.own().any(|own| own.path.starts_with(path));
        let is_beside = |group: &&Group| {
            let above = group.path.parent();
            let is_below_level = level.is_none_or(|level| above == Some(level.as_path()));
            let is_own = above.is_some_and(|above| self.own().any(|own| own.path == above && own.parent.is_some()));
            is_below_level && above.is_some_and(is_on_the_way) && !is_own && !is_on_the_way(&group.path)
        };
        let beside = self.after.groups.iter().filter(is_beside);
        // CPU time is compared with the time by who counts it.
        let whole = cause.filter(|cause| cause.periods.is_none()).and_then(|cause| at(cause.limit)).unwrap_or(0);
        let least = (whole / 10_000).saturating_mul(RIVALS_SHARE).max(1);
        let used = beside
            .filter_map(|group| Some(Rival { path: group.path.clone(), usage: usage(self, group)?, weights: None }));
        let mut rivals: Vec<Rival> = used.filter(|rival| rival.usage >= least).collect();
        rivals.sort_by(|one, other| other.usage.cmp(&one.usage).then_with(|| one.path.cmp(&other.path)));
        rivals.dedup_by(|one, other| one.path == other.path);
        rivals.truncate(RIVALS);
        rivals
    }
}

/// Which of the events at a level count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// Those between the two snapshots.
    Lately,
    /// All since the level was made.
    Ever,
}

impl Finding {
    const fn new(trouble: Trouble) -> Self {
        Self { trouble, usec: None, count: None, causes: Vec::new(), victims: Vec::new(), rivals: Vec::new() }
    }
}

impl Cause {
    fn of(group: &Group, limit: Reading, known: Evidence) -> Self {
        Self { level: Some(group.path.clone()), limit, known, ..Self::of_host(limit) }
    }

    const fn of_host(limit: Reading) -> Self {
        Self {
            level: None,
            limit,
            is_brake: false,
            hits: None,
            periods: None,
            hits_since_start: Reading::Absent,
            peak: Reading::Absent,
            known: Evidence::Limited,
        }
    }
}

/// Those with the strongest evidence, the smallest limit first: it is the first to be hit. What only has the smallest limit
/// is one alone.
fn likeliest(mut causes: Vec<Cause>) -> Vec<Cause> {
    causes.sort_by_key(|cause| (cause.known, number_of(cause.limit)));
    let strongest = causes.first().map(|cause| cause.known);
    causes.retain(|cause| Some(cause.known) == strongest);
    if strongest == Some(Evidence::Binds) {
        causes.truncate(1);
    }
    causes
}
