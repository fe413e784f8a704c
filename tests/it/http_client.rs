//! A client of the status port, with no more manners than a test needs.

use std::net::SocketAddr;

use serde_json::Value;

use crate::support::{Client, TIMEOUT};

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// What came until the end of a connection.
    #[track_caller]
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status: {head}"));
        Self { status, head: head.to_owned(), body: body.to_owned() }
    }

    /// A field of it.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!((self.status, self.field("Content-Type")), (200, Some("application/json")), "{self:?}");
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The value of a series, by its name and labels.
    pub(crate) fn series(&self, series: &str) -> Option<f64> {
        let mut values =
            self.body.lines().filter_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok());
        values.next_back()
    }
}

/// Sends `request` on a connection, and reads to its end.
#[track_caller]
pub(crate) fn exchange(client: &mut Client, request: &str) -> Answer {
    client.send(request);
    let (received, is_closed) = client.receive(usize::MAX, TIMEOUT);
    assert!(is_closed, "{:?}", String::from_utf8_lossy(&received));
    Answer::read(&received)
}

/// `GET path` with more fields, each of which ends its line.
pub(crate) fn request(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{fields}\r\n")
}

#[track_caller]
pub(crate) fn get(address: SocketAddr, path: &str) -> Answer {
    exchange(&mut Client::connect(address), &request(path, ""))
}
