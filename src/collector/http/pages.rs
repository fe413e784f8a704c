//! Answers that concern sites: gathered on the loop, put together on a thread, and given to all who asked for them meanwhile.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crate::control::{DaemonAnswer, SiteAnswer, StatusReport, to_json};
use crate::http::Content;
use crate::net::ConnId;
use crate::obs::metrics;
use crate::panics::{Panicked, catch};

/// For so long an answer about all sites is given to others who ask for it.
const FRESH: Duration = Duration::from_secs(1);

/// Answers that are being sent may take so much memory before others are put off.
const MOST_HELD: usize = 64 << 20;

/// What an answer is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::collector) enum Subject {
    /// What Prometheus reads.
    Metrics,
    /// The sites with these keys in full, or the most important of all.
    Status(Option<Vec<usize>>),
}

/// What is known.
pub(in crate::collector) struct Gathering {
    /// Of the daemon.
    daemon: DaemonAnswer,
    /// Of sites.
    sites: Vec<SiteAnswer>,
    /// The keys of those that are still to be looked at.
    left: VecDeque<usize>,
}

enum Stage {
    Gathering(Box<Gathering>),
    Encoding,
}

/// An answer that is being made.
struct Build {
    number: u64,
    subject: Subject,
    clients: Vec<ConnId>,
    stage: Stage,
}

/// One that is made.
pub(in crate::collector) struct Made {
    pub(in crate::collector) clients: Vec<ConnId>,
    pub(in crate::collector) content: Content,
    pub(in crate::collector) body: Result<Arc<Vec<u8>>, Panicked>,
}

/// What asking has come to.
pub(in crate::collector) enum Asked {
    /// It is there already.
    Made(Arc<Vec<u8>>),
    /// It will be [made](Pages::made).
    Later,
    /// Too much is being sent.
    Busy,
}

type Job = (u64, Box<dyn FnOnce() -> String + Send>);

/// What is being made, and what was made last.
pub(in crate::collector) struct Pages {
    jobs: Sender<Job>,
    results: Receiver<(u64, Result<String, Panicked>)>,
    builds: Vec<Build>,
    last_number: u64,
    /// Of all sites, and when they were made.
    fresh: Vec<(Subject, Instant, Arc<Vec<u8>>)>,
    held: Vec<Weak<Vec<u8>>>,
    most_held: usize,
}

impl Pages {
    /// Starts the thread, which ends when this is dropped. It calls `notify` whenever one is made.
    pub(in crate::collector) fn start(notify: Arc<dyn Fn() + Send + Sync>) -> io::Result<Self> {
        Self::with_bound(notify, MOST_HELD)
    }

    fn with_bound(notify: Arc<dyn Fn() + Send + Sync>, most_held: usize) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (tell, results) = mpsc::channel();
        let run = move || {
            for (number, job) in queue {
                if tell.send((number, catch(job))).is_err() {
                    return;
                }
                notify();
            }
        };
        thread::Builder::new().name("http".into()).spawn(run)?;
        Ok(Self { jobs, results, builds: Vec::new(), last_number: 0, fresh: Vec::new(), held: Vec::new(), most_held })
    }

    /// `client` asks for this; where it is to be made, `begin` says what of the daemon and which sites are to be gathered.
    pub(in crate::collector) fn ask(
        &mut self,
        subject: Subject,
        client: ConnId,
        now: Instant,
        begin: impl FnOnce() -> (DaemonAnswer, VecDeque<usize>),
    ) -> Asked {
        self.fresh.retain(|(_, made, _)| now.saturating_duration_since(*made) < FRESH);
        if let Some((.., body)) = self.fresh.iter().find(|(about, ..)| *about == subject) {
            return Asked::Made(Arc::clone(body));
        }
        if let Some(build) = self.builds.iter_mut().find(|build| build.subject == subject) {
            build.clients.push(client);
            return Asked::Later;
        }
        self.held.retain(|body| body.strong_count() > 0);
        if self.held.iter().filter_map(Weak::upgrade).map(|body| body.len()).sum::<usize>() > self.most_held {
            return Asked::Busy;
        }
        let (daemon, left) = begin();
        self.last_number += 1;
        let stage = Stage::Gathering(Box::new(Gathering { daemon, sites: Vec::new(), left }));
        self.builds.push(Build { number: self.last_number, subject, clients: vec![client], stage });
        Asked::Later
    }

    pub(super) fn is_gathering(&self) -> bool {
        self.builds.iter().any(|build| matches!(build.stage, Stage::Gathering(_)))
    }

    /// A client waits no more. What nobody waits for is not made.
    pub(super) fn forget(&mut self, client: ConnId) {
        for build in &mut self.builds {
            build.clients.retain(|other| *other != client);
        }
        self.builds.retain(|build| !build.clients.is_empty());
    }

    /// Looks at the next sites, at most `most`, with `look`, which is told whether all that is known is wanted.
    pub(in crate::collector) fn gather(&mut self, most: usize, look: impl Fn(usize, bool) -> Option<SiteAnswer>) {
        let Some(build) = self.builds.iter_mut().find(|build| matches!(build.stage, Stage::Gathering(_))) else {
            return;
        };
        let Stage::Gathering(gathering) = &mut build.stage else { return };
        let is_in_full = matches!(build.subject, Subject::Status(Some(_)));
        for key in gathering.left.drain(..most.min(gathering.left.len())) {
            gathering.sites.extend(look(key, is_in_full));
        }
        if !gathering.left.is_empty() {
            return;
        }
        if let Stage::Gathering(gathered) = std::mem::replace(&mut build.stage, Stage::Encoding) {
            let Gathering { daemon, sites, .. } = *gathered;
            let job: Box<dyn FnOnce() -> String + Send> = match build.subject {
                Subject::Metrics => Box::new(move || metrics(daemon, sites)),
                Subject::Status(_) => Box::new(move || to_json(&StatusReport::new(&daemon, &sites)) + "\n"),
            };
            // Without the thread, which never ends before this, nobody would be answered.
            self.jobs.send((build.number, job)).ok();
        }
    }

    /// What was made since.
    pub(in crate::collector) fn made(&mut self, now: Instant) -> Vec<Made> {
        let mut all = Vec::new();
        while let Ok((number, result)) = self.results.try_recv() {
            let Some(index) = self.builds.iter().position(|build| build.number == number) else { continue };
            let Build { subject, clients, .. } = self.builds.remove(index);
            let body = result.map(|text| Arc::new(text.into_bytes()));
            let content = match subject {
                Subject::Metrics => Content::Metrics,
                Subject::Status(_) => Content::Json,
            };
            if let Ok(body) = &body {
                self.held.push(Arc::downgrade(body));
                // Of single sites there may be any number.
                if matches!(subject, Subject::Metrics | Subject::Status(None)) {
                    self.fresh.push((subject, now, Arc::clone(body)));
                }
            }
            all.push(Made { clients, content, body });
        }
        all
    }
}

#[cfg(test)]
#[path = "pages_tests.rs"]
mod tests;
