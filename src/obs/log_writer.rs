//! Writes the log's lines. A reader that does not read, or a disk that hangs, must hold up nothing but the log: once
//! [started](LogWriter::start), a thread writes, and what it does not get rid of in time is dropped and counted.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::budget::LOG_QUEUE;
use crate::mutex::lock;
use crate::panics::catch;

/// How long the last lines may take when the program ends.
const LAST_LINES: Duration = Duration::from_millis(500);

/// How often dropped lines are reported.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// Where the log's lines go. Clones are the same one.
#[derive(Clone)]
pub(super) struct LogWriter(Arc<Shared>);

struct Shared {
    out: Mutex<Box<dyn Write + Send>>,
    /// `None` until there is a thread: whoever logs writes, since a process that goes to the background leaves its threads
    /// behind.
    queue: Mutex<Option<Queue>>,
    /// There are lines to write.
    filled: Condvar,
    /// All lines are written.
    emptied: Condvar,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    /// Of the lines and of the one that is being written.
    bytes: usize,
    dropped: u64,
}

enum Item {
    Line(Vec<u8>),
    /// To be done between two lines.
    Action(Box<dyn FnOnce() + Send>),
}

impl LogWriter {
    /// Writes to `out`, in place until it is [started](Self::start).
    pub(super) fn new(out: impl Write + Send + 'static) -> Self {
        Self(Arc::new(Shared {
            out: Mutex::new(Box::new(out)),
            queue: Mutex::new(None),
            filled: Condvar::new(),
            emptied: Condvar::new(),
        }))
    }

    /// From now on a thread writes. Every ten seconds, unless it has to wait, it calls `report`; and `panicked` if it cannot
    /// go on: nothing is written then.
    ///
    /// # Errors
    /// No thread can be started; lines are written in place as before.
    pub(super) fn start(
        &self,
        report: impl Fn() + Send + 'static,
        panicked: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let writer = self.clone();
        let write = move || {
            if catch(|| writer.write_loop(report)).is_err() {
                panicked();
            }
        };
        let mut queue = lock(&self.0.queue);
        thread::Builder::new().name("log".to_owned()).spawn(write)?;
        *queue = Some(Queue::default());
        Ok(())
    }

    /// Writes a line, or has it written.
    pub(super) fn line(&self, line: Vec<u8>) {
        let mut queue = lock(&self.0.queue);
        match &mut *queue {
            None => self.write(&line),
            Some(queue) if queue.bytes + line.len() > LOG_QUEUE => queue.dropped += 1,
            Some(queue) => {
                queue.bytes += line.len();
                queue.items.push_back(Item::Line(line));
                self.0.filled.notify_one();
            }
        }
    }

    /// Does `action` when what was logged before is written.
    pub(super) fn then(&self, action: impl FnOnce() + Send + 'static) {
        match &mut *lock(&self.0.queue) {
            None => action(),
            Some(queue) => {
                queue.items.push_back(Item::Action(Box::new(action)));
                self.0.filled.notify_one();
            }
        }
    }

    /// Waits until all lines are written, for half a second at most.
    pub(super) fn finish(&self) {
        let is_writing = |queue: &mut Option<Queue>| queue.as_ref().is_some_and(|queue| queue.bytes > 0);
        drop(self.0.emptied.wait_timeout_while(lock(&self.0.queue), LAST_LINES, is_writing));
    }

    /// How many lines had to be dropped since this was asked last; none as long as more would have to be.
    pub(super) fn take_dropped(&self) -> u64 {
        match &mut *lock(&self.0.queue) {
            Some(queue) if queue.bytes <= LOG_QUEUE / 2 => std::mem::take(&mut queue.dropped),
            _ => 0,
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a thread of its own, away from the loop and its clock")]
    fn write_loop(&self, report: impl Fn()) {
        let mut report_at = Instant::now() + REPORT_EVERY;
        loop {
            match self.next(report_at.saturating_duration_since(Instant::now())) {
                Some(Item::Line(line)) => {
                    self.write(&line);
                    self.written(line.len());
                }
                Some(Item::Action(action)) => action(),
                None => {}
            }
            if Instant::now() >= report_at {
                report_at = Instant::now() + REPORT_EVERY;
                report();
            }
        }
    }

    fn next(&self, timeout: Duration) -> Option<Item> {
        let is_empty = |queue: &mut Option<Queue>| queue.as_ref().is_none_or(|queue| queue.items.is_empty());
        let waited = self.0.filled.wait_timeout_while(lock(&self.0.queue), timeout, is_empty);
        let (mut queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        queue.as_mut()?.items.pop_front()
    }

    fn written(&self, bytes: usize) {
        if let Some(queue) = &mut *lock(&self.0.queue) {
            queue.bytes -= bytes;
            if queue.bytes == 0 {
                self.0.emptied.notify_all();
            }
        }
    }

    fn write(&self, line: &[u8]) {
        let mut out = lock(&self.0.out);
        // A failure to write cannot be reported anywhere.
        let _ = out.write_all(line).and_then(|()| out.flush());
    }
}

/// Puts whole lines together: the logger writes one in some twenty pieces.
pub(super) struct Lines {
    writer: LogWriter,
    begun: Vec<u8>,
}

impl Lines {
    pub(super) fn to(writer: LogWriter) -> Self {
        Self { writer, begun: Vec::new() }
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.begun.extend_from_slice(bytes);
        if self.begun.ends_with(b"\n") {
            self.writer.line(std::mem::take(&mut self.begun));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// Takes a line only when somebody reads it.
    struct Unread(SyncSender<Vec<u8>>);

    impl Write for Unread {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn unread() -> (LogWriter, Receiver<Vec<u8>>) {
        let (sender, reader) = sync_channel(0);
        let writer = LogWriter::new(Unread(sender));
        writer.start(|| (), || ()).unwrap();
        (writer, reader)
    }

    #[test]
    fn what_nobody_reads_is_dropped_and_counted_and_the_rest_comes_in_order() {
        let (writer, reader) = unread();
        let line = |number: usize| format!("{number:99}\n").into_bytes();
        let most = LOG_QUEUE / line(0).len();
        for number in 0..most + 5 {
            writer.line(line(number));
        }
        writer.finish();
        assert_eq!(writer.take_dropped(), 0, "not as long as the line that tells of it would be dropped, too");
        for number in 0..most {
            assert_eq!(reader.recv().unwrap(), line(number));
        }
        writer.finish();
        assert_eq!((writer.take_dropped(), writer.take_dropped()), (5, 0));
    }

    #[test]
    fn the_last_lines_are_waited_for() {
        let (writer, reader) = unread();
        let person = thread::spawn(move || reader.iter().take(100).count());
        for _ in 0..100 {
            writer.line(b"line\n".to_vec());
        }
        writer.finish();
        assert_eq!(person.join().unwrap(), 100);
    }

    #[test]
    fn what_is_to_be_done_between_two_lines_is() {
        let (writer, reader) = unread();
        let (sender, done) = sync_channel(1);
        writer.line(b"before\n".to_vec());
        writer.then(move || sender.send(()).unwrap());
        writer.line(b"after\n".to_vec());
        assert!(done.try_recv().is_err(), "the line before it is not written");
        assert_eq!(reader.recv().unwrap(), b"before\n");
        done.recv().unwrap();
        assert_eq!(reader.recv().unwrap(), b"after\n");
    }

    #[test]
    fn a_thread_that_panics_is_reported() {
        let (writer, _reader) = {
            let (sender, reader) = sync_channel(0);
            (LogWriter::new(Unread(sender)), reader)
        };
        let (sender, ended) = sync_channel(1);
        writer.start(|| (), move || sender.send(()).unwrap()).unwrap();
        writer.then(|| panic!("an action panics"));
        ended.recv_timeout(Duration::from_secs(30)).expect("it is reported");
    }

    #[test]
    fn a_line_in_pieces_is_one_whatever_its_length() {
        let (writer, reader) = unread();
        let mut lines = Lines::to(writer);
        let long = "x".repeat(10_000);
        for piece in ["[WARN] ", &long, "\n"] {
            lines.write_all(piece.as_bytes()).unwrap();
        }
        assert_eq!(reader.recv().unwrap(), format!("[WARN] {long}\n").into_bytes());
    }
}
