//! Reading a configuration again, on a thread of its own: it may be large, be written just now, or lie where nothing answers.
//! What came of that is carried out on the loop.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;

use log::error;

use super::Collector;
use crate::obs::service_manager;
use crate::panics::{Panicked, catch};

/// What is to be done once all is read.
pub type AfterReading = Box<dyn FnOnce(&mut Collector) + Send>;

/// Reads, wherever it is called.
pub type Read = Box<dyn FnOnce() -> AfterReading + Send>;

/// Whether somebody reads.
#[derive(Default)]
pub(super) enum Reading {
    #[default]
    Idle,
    Busy {
        read: Receiver<Result<AfterReading, Panicked>>,
        /// What begins afterwards: what is read just now may be out of date.
        next: Option<Read>,
    },
}

impl Collector {
    /// Has `read` called on a thread, and what it comes to on the loop; after another reading, where one is under way. Of
    /// those that have not begun there is one. Who then asks for a reload is answered by [`Collector::reload_ended`].
    pub fn read_again(&mut self, read: Read) {
        match &mut self.reading {
            Reading::Busy { next, .. } => *next = Some(read),
            Reading::Idle => self.start_reading(read),
        }
    }

    fn start_reading(&mut self, read: Read) {
        service_manager::reloading();
        self.control.reload_begins();
        let (tell, answer) = mpsc::sync_channel(1);
        let notify = Arc::clone(&self.notify);
        let run = move || {
            tell.send(catch(read)).ok();
            notify();
        };
        match thread::Builder::new().name("configuration".into()).spawn(run) {
            Ok(_) => self.reading = Reading::Busy { read: answer, next: None },
            Err(error) => self.not_read(&format!("no thread can be started to read it: {error}")),
        }
    }

    /// Carries out what came of reading, if that is over.
    pub(super) fn take_what_was_read(&mut self) {
        let Reading::Busy { read, .. } = &self.reading else { return };
        let read = match read.try_recv() {
            Err(TryRecvError::Empty) => return,
            Err(TryRecvError::Disconnected) => Err(Panicked),
            Ok(read) => read,
        };
        let before = std::mem::take(&mut self.reading);
        match read {
            Ok(carry_out) => carry_out(self),
            Err(panicked) => self.not_read(&panicked.to_string()),
        }
        if let Reading::Busy { next: Some(next), .. } = before {
            self.start_reading(next);
        }
    }

    fn not_read(&mut self, why: &str) {
        error!("not reloaded, going on as before: {why}");
        self.reload_ended(&Err(why.to_owned()));
        service_manager::ready(&self.summary());
    }
}
