//! Name resolution off the loop: `getaddrinfo` blocks, for half a minute where a name server is silent.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use super::ConnId;

/// So many names may hang before another has to wait; a waiting one runs into its own deadline only.
const MAX_THREADS: usize = 16;

/// An answer: whose it is, and what the name came to.
pub(super) type Answer = (ConnId, io::Result<Vec<SocketAddr>>);

/// Asks the system for addresses on a few threads of its own.
#[derive(Debug)]
pub(super) struct Resolver {
    shared: Arc<Shared>,
    threads: usize,
    answers: (Sender<Answer>, Receiver<Answer>),
    waker: Arc<mio::Waker>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    questions: VecDeque<Question>,
    idle: usize,
    closed: bool,
}

#[derive(Debug)]
struct Question {
    id: ConnId,
    host: Arc<str>,
    port: u16,
}

impl Resolver {
    pub(super) fn new(waker: Arc<mio::Waker>) -> Self {
        Self { shared: Arc::default(), threads: 0, answers: channel(), waker }
    }

    /// Looks `host` up; an address needs no looking up and is returned at once.
    pub(super) fn ask(&mut self, id: ConnId, host: &Arc<str>, port: u16) -> io::Result<Option<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(Some(SocketAddr::new(address, port)));
        }
        let mut queue = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.questions.push_back(Question { id, host: Arc::clone(host), port });
        let one_more = queue.idle < queue.questions.len() && self.threads < MAX_THREADS;
        drop(queue);
        if one_more {
            self.start_thread()?;
        }
        self.shared.arrived.notify_one();
        Ok(None)
    }

    /// The answers that have come since the last call.
    pub(super) fn answers(&self) -> impl Iterator<Item = Answer> {
        self.answers.1.try_iter()
    }

    fn start_thread(&mut self) -> io::Result<()> {
        let (shared, answers, waker) = (Arc::clone(&self.shared), self.answers.0.clone(), Arc::clone(&self.waker));
        thread::Builder::new().name("resolver".into()).spawn(move || {
            while let Some(question) = shared.next() {
                if answers.send((question.id, question.look_up())).is_err() || waker.wake().is_err() {
                    return;
                }
            }
        })?;
        self.threads += 1;
        Ok(())
    }
}

impl Drop for Resolver {
    /// Idle threads end; one that hangs in a look-up is left behind, it holds nothing but the name.
    fn drop(&mut self) {
        self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.shared.arrived.notify_all();
    }
}

impl Shared {
    fn next(&self) -> Option<Question> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if queue.closed {
                return None;
            }
            if let Some(question) = queue.questions.pop_front() {
                return Some(question);
            }
            queue.idle += 1;
            queue = self.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
        }
    }
}

impl Question {
    fn look_up(&self) -> io::Result<Vec<SocketAddr>> {
        let addresses: Vec<_> = (&*self.host, self.port).to_socket_addrs()?.collect();
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        Ok(addresses)
    }
}
