//! Replays the recordings of a stock client.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::client_process::{ScriptReply, ScriptStep, Scripted, WorkDir};
use crate::recordings::{latin1, recordings_of};

#[derive(Debug, Deserialize)]
struct Recording {
    name: String,
    client_options: Vec<String>,
    files_before: BTreeMap<String, String>,
    dialogue: Vec<Step>,
    exit_code: i32,
    stdout: String,
    stderr: String,
    files_after: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct Step {
    #[serde(default)]
    received: String,
    /// `None` where the server closed.
    reply: Option<String>,
    #[serde(default)]
    client_closed: bool,
    /// There was no connection.
    note: Option<String>,
}

impl Recording {
    fn has_connection(&self) -> bool {
        self.dialogue.iter().all(|step| step.note.is_none())
    }

    fn script(&self) -> Vec<ScriptStep> {
        let turn = |step: &Step| ScriptStep {
            awaits: Some(step.received.len()).filter(|&count| count > 0),
            says: match &step.reply {
                Some(reply) => ScriptReply::Bytes(latin1(reply)),
                None => ScriptReply::Last(Vec::new()),
            },
        };
        self.dialogue.iter().filter(|step| step.note.is_none()).map(turn).collect()
    }

    /// The command line, for a server on this port.
    fn arguments(&self, port: u16) -> Vec<String> {
        let given: Vec<_> =
            self.client_options.iter().map(|option| option.replace("PORT", &port.to_string())).collect();
        let has = |option: &str| given.iter().any(|given| given == option);
        let mut arguments = Vec::new();
        if !has("-y") && !has("-a") {
            arguments.extend(["-a".to_owned(), "127.0.0.1".to_owned()]);
        }
        if !has("-y") && !has("-p") {
            arguments.extend(["-p".to_owned(), port.to_string()]);
        }
        arguments.extend(given);
        arguments
    }

    fn replay(&self) {
        let work_dir = WorkDir::new();
        for (path, bytes) in &self.files_before {
            work_dir.write(path, &latin1(bytes));
        }
        let server = self.has_connection().then(|| Scripted::start(self.script()));
        let port = server.as_ref().map_or(1, |server| server.address().port());
        let outcome = work_dir.run(self.arguments(port));
        let normal = |text: &str| text.replace(&port.to_string(), "PORT");
        assert_eq!(outcome.code, Some(self.exit_code), "{}: {outcome}", self.name);
        assert_eq!(normal(&outcome.stderr), self.stderr, "{}", self.name);
        // The help is our own.
        if self.stdout != "(help text)" {
            assert_eq!(normal(&outcome.stdout), self.stdout, "{}", self.name);
        }
        let expected = self.files_after.iter().map(|(path, bytes)| (path.into(), latin1(bytes))).collect();
        assert_eq!(work_dir.files(), expected, "{}", self.name);
        if let Some(server) = server {
            let heard = server.received().pieces;
            for (number, step) in self.dialogue.iter().enumerate() {
                let shown = heard[number].escape_ascii().to_string();
                assert_eq!(shown, latin1(&step.received).escape_ascii().to_string(), "{} turn {number}", self.name);
            }
            let closes = self.dialogue.last().is_some_and(|step| step.client_closed || step.reply.is_none());
            assert!(closes, "{}: a recording ends with the connection", self.name);
        }
    }
}

#[test]
fn the_client_behaves_as_recorded() {
    let recordings: Vec<Recording> = recordings_of("client");
    assert!(recordings.len() >= 20, "{} recordings", recordings.len());
    std::thread::scope(|scope| {
        for recording in &recordings {
            scope.spawn(|| recording.replay());
        }
    });
}
