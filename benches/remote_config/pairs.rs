//! Agents' configurations, at the centre and at a site.

use std::fs;
use std::path::{Path, PathBuf};

use tentacle_sync::proto::Fingerprint;

use super::tentacle_server::hand_over;
use crate::support::Result;

/// The directories that they are in.
pub(crate) struct Pairs(PathBuf);

/// One agent of all.
#[derive(Clone, Copy)]
pub(crate) struct Agent {
    pub(crate) site: usize,
    pub(crate) number: usize,
}

impl Agent {
    fn key(self) -> String {
        format!("{:016x}{:016x}", self.site, self.number)
    }

    /// What its configuration is, in this version: 2 KiB.
    pub(crate) fn conf(self, version: &str) -> String {
        let name = format!("agent_name s{}-{}\n", self.site, self.number);
        name + &format!("# {version:<58}\n").repeat(33)
    }
}

pub(crate) fn md5_of(text: &str) -> String {
    format!("{:032x}", u128::from_be_bytes(Fingerprint::of(text.as_bytes()).md5))
}

impl Pairs {
    /// Makes the directories in `root`.
    pub(crate) fn make(root: &Path) -> Result<Self> {
        for name in ["conf", "md5", "collections"] {
            fs::create_dir(root.join(name))?;
            hand_over(&root.join(name))?;
        }
        Ok(Self(root.to_owned()))
    }

    fn conf(&self, agent: Agent) -> PathBuf {
        self.0.join(format!("conf/{}.conf", agent.key()))
    }

    fn md5(&self, agent: Agent) -> PathBuf {
        self.0.join(format!("md5/{}.md5", agent.key()))
    }

    /// Writes both files as the console does: in place, the content first.
    pub(crate) fn save(&self, agent: Agent, conf: &str) -> Result<()> {
        fs::write(self.conf(agent), conf)?;
        Ok(fs::write(self.md5(agent), md5_of(conf))?)
    }

    /// Writes both, for a server to overwrite.
    pub(crate) fn upload(&self, agent: Agent, conf: &str) -> Result<()> {
        self.save(agent, conf)?;
        hand_over(&self.conf(agent))?;
        hand_over(&self.md5(agent))
    }

    pub(crate) fn has_md5(&self, agent: Agent, md5: &str) -> bool {
        fs::read(self.md5(agent)).is_ok_and(|bytes| bytes == md5.as_bytes())
    }
}
