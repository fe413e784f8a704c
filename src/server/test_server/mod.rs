//! A server whose machine can fail: the sessions, the storage and what is done to the disk are the real ones, on a
//! [model](SiteDisk) of the disk. Connections and the time belong to the caller.

mod call;
mod crash_points;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use tempfile::TempDir;

pub(crate) use self::call::{Answer, Op, TestClient};
use super::Reason;
pub(crate) use super::ports::Connection;
use super::ports::FileStore;
pub(crate) use super::session::PumpOutcome;
use super::session::{Context, Session};
use super::status::ServerStatus;
use super::storage::{Done, FILE_MODE, Storage};
use super::throttled_log::ThrottledLog;
use crate::config::server::{Filters, Limits, StoreSettings};
use crate::net::ConnId;
use crate::proto::server::Policy;
use crate::proto::{FileName, Secret};
use crate::store::model::{ModelStoreWorker, SiteDisk, SteppingSinks, at_site, reordered};
use crate::store::{Background, Concluded, Identity, StorageDir, StoreRequest};

/// Names that end in `.conf` go to the directory `conf`.
static FILTERS: LazyLock<Filters> = LazyLock::new(|| Filters::parse(br".*\.conf:conf").expect("they are sound").0);

/// The umask of the process.
const UMASK: u32 = 0o007;

/// The machine of a site, and the server's process on it while there is one.
#[derive(Debug)]
pub(crate) struct TestServer {
    pub(crate) disk: SiteDisk,
    pub(crate) limits: Limits,
    settings: StoreSettings,
    policy: Arc<Policy>,
    process: Option<Process>,
}

#[derive(Debug)]
struct Process {
    storage: Storage,
    store_worker: ModelStoreWorker,
    log: ThrottledLog,
    status: ServerStatus,
    /// For the next search.
    done: Vec<(ConnId, Done)>,
    /// Done, and not yet [reported](TestServer::woken).
    unreported: Vec<(ConnId, Done)>,
}

/// A client's session. It ends by being dropped.
#[derive(Debug)]
pub(crate) struct TestSession {
    id: ConnId,
    session: Session,
}

impl TestSession {
    /// Has what the session asked for listed, in an order of the site's own, and hashed or packed at once: whether a file
    /// is depends on the real clock, and nothing else is to.
    fn look_up(
        &mut self,
        mut pause: Result<PumpOutcome, Reason>,
        cx: &mut Context<'_>,
        disk: &SiteDisk,
        unreported: &mut Vec<(ConnId, Done)>,
    ) -> Result<PumpOutcome, Reason> {
        while pause.is_ok() {
            if cx.storage.listings().due(cx.io.now()).is_some() {
                for (id, listed) in cx.storage.listings().go_on(cx.io.now()) {
                    assert_eq!(id, self.id, "nobody else waits for a listing");
                    let listed = listed.map(|listing| reordered(listing, disk));
                    pause = go_on(&mut self.session, Done::Listed(listed), cx);
                }
            } else if cx.storage.is_hashing() {
                for (id, done) in cx.storage.done() {
                    match done {
                        Done::Hashed(_) | Done::Packed(_) if id == self.id => {
                            pause = go_on(&mut self.session, done, cx);
                        }
                        // Of a session that is gone.
                        Done::Hashed(_) | Done::Packed(_) => {}
                        other => unreported.push((id, other)),
                    }
                }
                std::thread::yield_now();
            } else {
                break;
            }
        }
        pause
    }
}

/// Where houses are built: in memory, where there is such a place, since nothing in there is to last.
pub(crate) fn memory_dir() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory can be made")
}

impl TestServer {
    /// An empty storage directory, with `conf` inside, and no process yet.
    pub(crate) fn new(directory: &Path, overwrite: bool, seed: u64) -> Self {
        let disk = SiteDisk::new(vec![directory.to_owned(), directory.join("conf")], seed);
        let filters = FILTERS.clone();
        let directory = directory.to_owned();
        let settings = StoreSettings { filters, overwrite, insecure: true, ..StoreSettings::new(directory) };
        let policy = Arc::new(super::service::policy(&settings, None));
        Self { disk, limits: Limits::default(), settings, policy, process: None }
    }

    /// All clients from now on need this password.
    pub(crate) fn ask_for(&mut self, password: Option<Secret>) {
        self.settings.password = password;
        self.policy = Arc::new(super::service::policy(&self.settings, None));
    }

    fn password(&self) -> Option<&Secret> {
        self.settings.password.as_ref()
    }

    pub(crate) fn is_up(&self) -> bool {
        self.process.is_some()
    }

    /// Starts a process, which sweeps what the last one has left.
    #[expect(clippy::disallowed_methods, reason = "nobody asks for how long it has been up")]
    pub(crate) fn start(&mut self) {
        self.disk.start();
        let sinks = Arc::new(SteppingSinks::AT_SITE);
        let root = StorageDir::open_with(&self.settings.directory, FILE_MODE & !UMASK, sinks);
        let root = root.expect("there is nothing to fail");
        let background = Background::start(Box::new(|| {})).expect("threads are to be had");
        let mut store_worker = None;
        let make = |space: &_| {
            let model = store_worker.insert(ModelStoreWorker::new(self.disk.clone(), Clone::clone(space)));
            Ok(Box::new(model.clone()) as Box<dyn FileStore>)
        };
        let storage = Storage::with(self.settings.clone(), UMASK, root, background, make);
        let storage = storage.expect("there is nothing to fail");
        let store_worker = store_worker.expect("a storage has one");
        let log = ThrottledLog::default();
        let status = ServerStatus::new(Instant::now(), crate::tls::UnixTime::now());
        self.process = Some(Process { storage, store_worker, log, status, done: Vec::new(), unreported: Vec::new() });
    }

    /// The process is gone, and its sessions must be dropped. What they were writing stays behind.
    pub(crate) fn crash(&mut self) {
        if let Some(process) = self.process.take() {
            // Threads go with their process; what they are reading changes nothing on the disk.
            process.storage.stop();
            let left = self.settings.directory.join(STAGING).join("0123456789abcdef-0");
            std::fs::write(left, "half a fi").expect("a file can be written");
        }
    }

    /// How many files are staged.
    pub(crate) fn staged(&self) -> usize {
        let staging = self.settings.directory.join(STAGING);
        std::fs::read_dir(staging).map_or(0, Iterator::count)
    }

    /// The connection of a client at `address` is open.
    pub(crate) fn accept(&self, id: ConnId, address: Ipv4Addr) -> TestSession {
        let peer = SocketAddr::from((address, 1));
        TestSession { id, session: Session::new(peer, Arc::clone(&self.policy), None, false) }
    }

    /// Lets a session go on; `None` where it has ended.
    pub(crate) fn pump(&mut self, session: &mut TestSession, io: &mut dyn Connection) -> Option<PumpOutcome> {
        let process = self.process.as_mut()?;
        let Process { storage, log, status, done, unreported, .. } = process;
        let mine = done.iter().position(|&(id, _)| id == session.id).map(|at| done.remove(at).1);
        let mut cx = Context { id: session.id, io, storage, limits: &self.limits, log, status };
        let pause = at_site(&self.disk, || {
            let pause = match mine {
                Some(done) => go_on(&mut session.session, done, &mut cx),
                None => session.session.pump(&mut cx),
            };
            session.look_up(pause, &mut cx, &self.disk, unreported)
        });
        pause.ok().filter(|&pause| pause != PumpOutcome::Over)
    }

    /// A session begins.
    pub(crate) fn open(&mut self, session: &mut TestSession, io: &mut dyn Connection) -> Option<PumpOutcome> {
        let Process { storage, log, status, unreported, .. } = self.process.as_mut()?;
        let mut cx = Context { id: session.id, io, storage, limits: &self.limits, log, status };
        at_site(&self.disk, || {
            let pause = session.session.opened(&mut cx);
            session.look_up(pause, &mut cx, &self.disk, unreported)
        })
        .ok()
    }

    /// How many orders the storing thread has.
    pub(crate) fn orders(&self) -> usize {
        self.process.as_ref().map_or(0, |process| process.store_worker.waiting())
    }

    /// The storing thread carries out a group of at most so many orders.
    pub(crate) fn store(&mut self, most: usize) {
        if let Some(process) = &self.process {
            process.store_worker.carry_out(most);
        }
    }

    /// Whose sessions to pump since their files are stored, or removed; as often as they are named.
    pub(crate) fn woken(&mut self) -> Vec<ConnId> {
        let Some(process) = &mut self.process else { return Vec::new() };
        let mut done = std::mem::take(&mut process.unreported);
        done.extend(process.storage.done());
        let woken = done.iter().map(|&(id, _)| id).collect();
        process.done.extend(done);
        woken
    }
}

/// The staging area's name.
const STAGING: &str = ".tentacle-server";

impl FileStore for ModelStoreWorker {
    fn store(&self, request: StoreRequest) {
        self.store(request);
    }

    fn remove(&self, dir: StorageDir, name: FileName, identity: Identity) {
        self.remove(dir, name, identity, None);
    }

    fn drop_file(&self, ticket: u64, dir: StorageDir, name: FileName, identity: Identity) {
        self.remove(dir, name, identity, Some(ticket));
    }

    fn is_alive(&self) -> bool {
        true
    }

    fn completions(&self) -> Vec<Concluded> {
        self.completions()
    }

    fn stop(self: Box<Self>) {}
}

/// Lets a session go on with what a thread has done.
fn go_on(session: &mut Session, done: Done, cx: &mut Context<'_>) -> Result<PumpOutcome, Reason> {
    session.done(done, cx)?;
    session.pump(cx)
}
