//! Notifications to the service manager, where there is one: systemd, by sd_notify(3).

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// The daemon is started, or has reloaded; `status` is what `systemctl status` shows.
pub(crate) fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The daemon reads its configuration again: [`ready`] follows.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(_) => notify(&[NotifyState::Reloading]),
    }
}

/// What `systemctl status` shows from now on.
pub(crate) fn status(text: &str) {
    notify(&[NotifyState::Status(text)]);
}

/// The daemon has been asked to stop.
pub(crate) fn stopping() {
    notify(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// A failure is only logged: nothing depends on the service manager's taking it.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, state) {
        log::debug!("the service manager cannot be notified: {error}");
    }
}

/// The service manager's watchdog, fed as the loop turns: a loop that hangs is found out.
#[derive(Debug, Default)]
pub struct Watchdog(Option<Fed>);

#[derive(Debug)]
struct Fed {
    every: Duration,
    /// `None` before the first time.
    next: Option<Instant>,
}

impl Watchdog {
    /// As the service manager asks for it.
    pub(crate) fn from_environment() -> Self {
        let mut microseconds = 0;
        let is_wanted = sd_notify::watchdog_enabled(false, &mut microseconds);
        // sd_watchdog_enabled(3) recommends half of what is allowed.
        Self(is_wanted.then(|| Fed { every: Duration::from_micros(microseconds) / 2, next: None }))
    }

    /// When to feed it next.
    pub(crate) fn due(&self, now: Instant) -> Option<Instant> {
        self.0.as_ref().map(|fed| fed.next.unwrap_or(now))
    }

    /// Feeds it if it is time.
    pub(crate) fn feed(&mut self, now: Instant) {
        if let Some(fed) = &mut self.0
            && fed.next.is_none_or(|next| now >= next)
        {
            notify(&[NotifyState::Watchdog]);
            fed.next = Some(now + fed.every);
        }
    }
}
