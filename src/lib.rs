//! A guided tour.
//!
//! `tentacle-sync` is both ends of a line into an isolated network. Inside, `tentacle_server` takes what monitoring agents
//! send, and keeps it; at the centre, where every connection starts, `tentacle-syncd` collects it.
//!
//! The parts, from what a program does to what it is made of:
//!
//! - [`cli`]: what the programs do with a command line: `cli::syncd` with its commands (run, once, check, probe, config,
//!   import, demo, and those for a daemon that runs: status, top, reload, pause and others), `cli::server` and `cli::client`.
//!   Users, the background, signals, exit statuses.
//! - [`collector`]: what `tentacle-syncd` does: all sites on one loop, each with its connections' sessions, for data and for
//!   agents' configuration.
//! - [`server`]: what `tentacle_server` does: admission, sessions, the storage.
//! - `client`: what `tentacle_client` does, one thing after the other.
//! - `status_port`: what a daemon or server is at, over HTTP, on its loop: who asks, and may; what there is to be asked for
//!   is the program's.
//! - [`config`]: files and command lines, read into plain option structs.
//! - [`obs`]: what an operator gets to see: the log, the status line, the notifications to the service manager.
//! - [`store`]: files on disk. The centre's spool: staging, group commit, publishing, the journal; agents' configuration
//!   there; the site's buffer: storage directories, archives, the quota; and what both use. Never sees a socket.
//! - [`net`]: the readiness loop: connections opened and accepted, deadlines, name resolution, proxies, signals; and the
//!   driver of a client's session on a connection. Never sees a path.
//! - [`tls`]: certificates, verification policies and the [`tls::Stream`] that hides whether a connection is encrypted.
//!   The only user of rustls.
//! - [`sync`]: what to do next: one site's round, when the next one is due, and who wins where agents' configuration differs.
//!   Pure: no I/O, no clock.
//! - [`control`]: the control socket's protocol: what a running daemon or server is asked, and what it answers. Pure.
//! - [`http`]: HTTP, as the status port speaks it. Pure.
//! - [`proto`]: the wire protocol: a client's session and a server's. Pure as well: bytes in, bytes and events out.
//! - `bandwidth`: how fast bytes may come from peers and go to them, and when. Pure.
//! - `budget`: what peers together may make us hold.
//! - [`testing`]: what tests, benches and the demo use: an imitation of a stock server that misbehaves on demand, and our
//!   server on a thread.
//!
//! Words of this domain:
//!
//! - *agent*: a program that measures; it sends files named `<agent>.<serial>.data`, whose serial is often the time.
//! - *site*: an isolated network's Tentacle server, as the centre sees it.
//! - *stock*: the Perl programs that ours take the place of.
//! - *storage directory*: where a server keeps what agents send, until it is collected.
//! - *round*: from a site's listing to the last of its files that is fetched and deleted.
//! - *incoming directory*: where the data server looks for files; with its staging area, a *spool*.
//! - *staged*: whole, in the staging area; nobody else sees it.
//! - *committed*: staged, flushed, and in the journal: the site's copy may go.
//! - *published*: under its name in the incoming directory.
//! - *paced*: published one at a time for each agent, oldest first.
//! - *deletion*: asking the site to let a committed file go (`MV`); what it sends then is compared.
//! - *rescue*: keeping what a site sent at a deletion where that is another file than the committed one.
//! - *journal*: what is to be published, and what may still be at its site, for the next start.
//! - *mark*: an empty file by whose name a collector finds its own incoming directory in a listing.
//! - *item*: an agent's configuration (`K.conf`), or a collection of files that one asks for, with the `.md5` file beside it.
//! - *in step*: the same at the centre and at a site, as was seen last.
//! - *network*: what counts as one client where many are to be treated alike: an IPv4 address, an IPv6 /64.
//! - *control socket*: where a running daemon or server is asked things, on its own machine.
//! - *place*: one of the connections that a server serves at once; without one, a connection waits.
//! - *relay*: a server that passes its clients' bytes to another (`-b`).
//!
//! The arrows go `bin → cli → {collector, server, client} → status_port → {config, obs} → {store, net} → {tls, sync, control,
//! http} → proto`: a module imports what is to its right. Of those to its right, `config` and `obs` use types alone.

pub mod bandwidth;
mod budget;
pub mod cli;
mod client;
pub mod collector;
pub mod config;
pub mod control;
mod deadline;
mod file;
pub mod http;
mod in_time;
mod memory;
mod mutex;
pub mod net;
pub mod obs;
mod panics;
mod passphrase;
pub mod proto;
pub mod server;
mod status_port;
pub mod store;
pub mod sync;
mod sys;
#[cfg(any(test, feature = "demo"))]
pub mod testing;
mod text;
mod thread_pool;
pub mod tls;
