//! The agents of a site: they leave files, and now and then write over one.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::buffer::CALLERS;
use super::oracle::Oracle;
use super::scheduler::{Scheduler, SimEvent};
use super::version::{Place, Version};
use super::world::Site;
use crate::proto::FileName;

/// The first epoch second on a file of theirs.
const FIRST_SERIAL: u64 = 1_700_000_000;

pub(super) struct Agents {
    /// From one file to the next, at most.
    pub(super) pause: Duration,
    pub(super) until: Instant,
    next: u64,
    past: Vec<FileName>,
    /// What they write, where that is not left to chance.
    pub(super) script: VecDeque<(FileName, Vec<u8>)>,
}

impl Agents {
    pub(super) fn new(pause: Duration, until: Instant) -> Self {
        Self { pause, until, next: FIRST_SERIAL, past: Vec::new(), script: VecDeque::new() }
    }
}

/// One of the agents of a site writes a file; the next one is planned.
pub(super) fn write(sites: &mut [Site], at: usize, oracle: &mut Oracle, scheduler: &mut Scheduler) {
    let scripted = sites[at].agents.script.pop_front();
    let (name, bytes) = scripted.unwrap_or_else(|| anything(sites, at, oracle, scheduler));
    let bytes = sendable(&sites[at], at, &name, bytes, oracle);
    let site = &mut sites[at];
    scheduler.note(|| format!("site {at}: {name} is written, {} bytes", bytes.len()));
    let is_new = !site.agents.past.contains(&name);
    site.agents.past.push(name.clone());
    let place = if site.buffer.is_some() { Place::AtAgent } else { Place::AtSite };
    let version = oracle.written((at, place), name.clone(), bytes, scheduler.now);
    if let Some(buffer) = &mut site.buffer {
        let caller = if is_new { caller(&name) } else { CALLERS - 1 };
        if buffer.give(caller, version) {
            scheduler.plan_in(Duration::ZERO, SimEvent::AgentSend { site: at, caller });
        }
    } else {
        if let Some(other) = site.files.insert(name, version) {
            oracle.overwritten(other);
        }
        oracle.appeared(version);
    }
    // They come in bursts.
    let pause = if scheduler.strikes(500_000) { Duration::ZERO } else { scheduler.up_to(site.agents.pause) };
    if scheduler.now + pause < site.agents.until {
        scheduler.plan_in(pause, SimEvent::Write { site: at });
    }
}

/// A server takes no empty files; and what agents have in their hands at the same time is to be reported apart.
fn sendable(site: &Site, at: usize, name: &FileName, bytes: Vec<u8>, oracle: &Oracle) -> Vec<u8> {
    let Some(buffer) = &site.buffer else { return bytes };
    let is_same = |version: usize| {
        let version = &oracle.versions[version];
        version.site == at && version.name == *name && version.bytes == bytes
    };
    if !bytes.is_empty() && !buffer.unsent_versions().any(is_same) {
        return bytes;
    }
    body(oracle.versions.len(), bytes.len().max(1))
}

/// Who sends it: one agent's files go out in their order.
fn caller(name: &FileName) -> usize {
    let agents = ["agent0.", "agent1.", "agent2."];
    agents.iter().position(|agent| name.as_bytes().starts_with(agent.as_bytes())).unwrap_or(CALLERS - 1)
}

fn anything(sites: &mut [Site], at: usize, oracle: &Oracle, scheduler: &mut Scheduler) -> (FileName, Vec<u8>) {
    let number = oracle.versions.len();
    let mut size = 1 << scheduler.chance.u32(6..12);
    if scheduler.strikes(5_000) {
        // More than is compared in memory.
        size = 70_000;
    }
    match scheduler.chance.u32(..100) {
        0..12 => {
            // Over one that is there, as often as not of its very size.
            let there: Vec<usize> = sites[at].files.values().copied().collect();
            if let Some(&version) = scheduler.chance.choice(&there) {
                let old = &oracle.versions[version];
                let size = if scheduler.chance.bool() { old.bytes.len() } else { size };
                return (old.name.clone(), body(number, size));
            }
        }
        12..16 => {
            if let Some(name) = scheduler.chance.choice(&sites[at].agents.past) {
                return (name.clone(), body(number, size));
            }
        }
        16..20 => {
            // As another site has it, or under that name.
            let elsewhere: Vec<usize> = (0..number).filter(|&version| oracle.versions[version].site != at).collect();
            if let Some(&version) = scheduler.chance.choice(&elsewhere) {
                let other = &oracle.versions[version];
                let bytes = if scheduler.chance.bool() { other.bytes.clone() } else { body(number, size) };
                return (other.name.clone(), bytes);
            }
        }
        20..28 => {
            return (name(&format!("windows.{}.data", scheduler.chance.u32(..1_000_000_000))), body(number, size));
        }
        28..30 => size = 0,
        // One name for ever: with the same bytes, or with as many others.
        30..38 => return (name("nas.123456.data"), format!("<agent_data>as ever at {at}</agent_data>\n").into_bytes()),
        38..40 => return (name("camera.7.data"), body(number, 200)),
        40..43 => {
            // A file that was there before comes once more.
            let past: Vec<&Version> = oracle.versions.iter().filter(|version| version.site == at).collect();
            if let Some(past) = scheduler.chance.choice(&past) {
                return (past.name.clone(), past.bytes.clone());
            }
        }
        _ => {}
    }
    let serial = sites[at].agents.next;
    sites[at].agents.next += 1;
    (name(&format!("agent{}.{serial}.data", scheduler.chance.u32(..3))), body(number, size))
}

fn name(text: &str) -> FileName {
    text.parse().expect("a sound name")
}

/// Bytes unlike any other version's, unless there are none; most are agent data to their end.
fn body(version: usize, size: usize) -> Vec<u8> {
    let end: &[u8] = if version.is_multiple_of(5) { b"not what is usual" } else { b"</agent_data>\n" };
    let head = format!("<agent_data version='{version:08}'>\n");
    if size == 0 {
        return Vec::new();
    }
    let pad = size.saturating_sub(head.len() + end.len());
    [head.as_bytes(), &vec![b'.'; pad], end].concat()
}
