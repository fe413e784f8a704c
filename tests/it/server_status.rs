//! What a server at a site is asked on its control socket.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::client_process::WorkDir;
use crate::control::{OFTEN, ask, crowd};
use crate::daemon::{Sandbox, wait_until};
use crate::server_ops::Buffer;
use crate::server_process::{Options, ServerProcess, free_address, hand_over_to_server};
use crate::site::site_config;
use crate::support::{Certificates, Client, scratch};
use crate::terminal::SERVER;

const STATUS: &[u8] = b"{\"version\":1,\"command\":{\"status\":{}}}\n";

/// A directory for a control socket.
struct RuntimeDir(TempDir);

impl RuntimeDir {
    fn new() -> Self {
        let directory = scratch();
        hand_over_to_server(directory.path());
        Self(directory)
    }

    fn socket(&self) -> PathBuf {
        self.0.path().join("control.sock")
    }

    /// The option for a socket there.
    fn option(&self, options: Options) -> Options {
        options.arg("--control-socket").arg(self.socket())
    }

    /// What `--status` ends with and prints, of a server whose socket is there.
    fn status(&self, arguments: &[&str]) -> Told {
        tell([&["--control-socket", &self.socket().to_string_lossy(), "--status"], arguments].concat(), None)
    }

    fn json(&self) -> (i32, Value) {
        let told = self.status(&["--json"]);
        let json: Value = serde_json::from_str(&told.stdout).unwrap_or_else(|error| panic!("{error}: {told:?}"));
        assert!(json["version"] == 1 && told.stdout.lines().count() == 1, "{told:?}");
        let mut server = json["server"].clone();
        // How full the disk is that tests run on is not theirs.
        server["problems"].as_array_mut().unwrap().retain(|problem| problem["reason"] != "disk");
        (if told.is_well() { 0 } else { told.code }, server)
    }

    /// Waits until it answers like this.
    fn wait_for(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        wait_until("the status", || Some(self.json().1).filter(&wanted))
    }
}

#[derive(Debug)]
struct Told {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Told {
    /// Whether nothing is wrong, but perhaps that the disk is full that tests run on.
    fn is_well(&self) -> bool {
        let problems: Vec<&str> = self.stdout.lines().filter(|line| line.starts_with("! ")).collect();
        let json: Option<Value> = serde_json::from_str(&self.stdout).ok();
        let reasons = json.iter().flat_map(|json| json["server"]["problems"].as_array().into_iter().flatten());
        let is_disk = |problem: &Value| problem["reason"] == "disk";
        match self.code {
            0 => true,
            1 => problems.iter().all(|line| line.starts_with("! disk: ")) && reasons.into_iter().all(is_disk),
            _ => false,
        }
    }
}

fn tell(arguments: Vec<&str>, runtime_dir: Option<&Path>) -> Told {
    let mut command = Command::new(SERVER);
    command.args(arguments).env_remove("RUNTIME_DIRECTORY");
    command.envs(runtime_dir.map(|directory| ("RUNTIME_DIRECTORY", directory)));
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Told { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn status_tells_what_waits_who_came_and_what_is_wrong() {
    let runtime = RuntimeDir::new();
    let buffer = Buffer::with(runtime.option(Options::usual()), "max_spool_files 5\nidle_timeout 60s\n");
    let (code, empty) = runtime.json();
    assert_eq!((code, &empty["problems"]), (0, &Value::Array(Vec::new())), "{empty}");
    assert_eq!((&empty["storage"]["waiting"]["files"], &empty["storage"]["stored"]["last"]), (&0.into(), &Value::Null));
    assert_eq!(empty["listening"][0], buffer.address().to_string());

    // An agent sends data and configuration, and asks for what is not there.
    let mut agent = buffer.connect();
    agent.store("a.1700000000.data", "12345");
    agent.store("b.1700000000.data", "123");
    agent.store("0123456789abcdef0123456789abcdef.conf", "configuration");
    agent.ask("RECV <missing.conf>", "RECV ERR (file does not exist)");
    let found = runtime.wait_for(|server| server["storage"]["waiting"]["files"] == 2);
    let storage = &found["storage"];
    assert_eq!((&storage["waiting"]["bytes"], &storage["below"]["files"]), (&8.into(), &1.into()), "{found}");
    assert!(storage["waiting"]["oldest_seconds"].as_u64() < Some(1000), "{found}");
    assert_eq!((&storage["stored"]["files"], &storage["stored"]["last"]["client"]), (&3.into(), &"127.0.0.1".into()));
    assert_eq!((&storage["collected"]["files"], &storage["listed"]), (&0.into(), &Value::Null), "{found}");
    assert_eq!((&found["refused"][0]["reason"], &found["refused"][0]["count"]), (&"missing".into(), &1.into()));
    assert_eq!((&found["connections"]["open"], &found["connections"]["accepted"]), (&1.into(), &2.into()), "{found}");

    // It fills up.
    agent.store("c.1700000000.data", "1");
    agent.store("d.1700000000.data", "1");
    agent.ask("SEND <e.1700000000.data> SIZE 1", "SEND ERR (no room for the file)");
    let told = runtime.status(&[]);
    assert_eq!(told.code, 1, "{told:?}");
    for expected in
        ["problems", "! refused: ", "! quota: 100 % of max_spool_files 5", "1 no-room", "5 of max_spool_files"]
    {
        assert!(told.stdout.contains(expected), "{expected}: {told:?}");
    }
    assert!(told.stdout.lines().all(|line| line.chars().count() <= 80), "{told:?}");

    // A collector lists and takes one away, which is gone once it has shown that it has it.
    let mut collector = buffer.connect();
    collector.names("");
    assert_eq!(collector.take("MV", "a.1700000000.data"), b"12345");
    collector.ask("RECV <missing.conf>", "RECV ERR (file does not exist)");
    let found = runtime.wait_for(|server| server["storage"]["waiting"]["files"] == 3);
    let storage = &found["storage"];
    assert_eq!((&storage["collected"]["files"], &storage["collected"]["bytes"]), (&1.into(), &5.into()), "{found}");
    assert!(storage["listed"]["client"] == "127.0.0.1" && storage["collected"]["last"]["seconds"].is_u64(), "{found}");
    assert_eq!(storage["quota"]["used_files"], 4, "{found}");
}

#[test]
fn a_collector_of_ours_is_seen_to_collect() {
    let runtime = RuntimeDir::new();
    let buffer = Buffer::with(runtime.option(Options::usual()), "");
    for number in 0..20 {
        buffer.put(&format!("agent{number}.1700000000.data"), "data");
    }
    assert_eq!(runtime.json().1["storage"]["waiting"]["files"], 20);
    let sandbox = Sandbox::with_sites([site_config("site", buffer.address(), OFTEN)]);
    sandbox.once().assert_code(0);
    let found = runtime.wait_for(|server| server["storage"]["waiting"]["files"] == 0);
    let storage = &found["storage"];
    assert_eq!((&storage["collected"]["files"], &storage["collected"]["bytes"]), (&20.into(), &80.into()), "{found}");
    assert_eq!(storage["waiting"]["oldest_seconds"], Value::Null, "{found}");
}

/// The paths of the Unix sockets that a process has.
fn named_sockets(process: u32) -> Vec<String> {
    let open = fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    let open: Vec<String> =
        open.filter_map(|fd| Some(fs::read_link(fd.ok()?.path()).ok()?.to_str()?.to_owned())).collect();
    let sockets = fs::read_to_string(format!("/proc/{process}/net/unix")).unwrap();
    let is_its_own = |inode: &str| open.contains(&format!("socket:[{inode}]"));
    let path = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (inode, path) = (fields.get(6)?, fields.get(7)?);
        is_its_own(inode).then(|| (*path).to_owned())
    };
    sockets.lines().filter_map(path).collect()
}

#[test]
fn a_command_line_of_the_stock_program_makes_no_socket() {
    let storage = scratch();
    let server = ServerProcess::ours(&Options::usual(), storage.path());
    let files: Vec<_> = fs::read_dir(storage.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files, [".tentacle-server"]);
    assert_eq!(named_sockets(server.id()), [""; 0]);
    let unset = RuntimeDir::new();
    let told = tell(vec!["--status"], Some(unset.0.path()));
    assert_eq!((told.code, told.stdout.as_str()), (3, ""));
    for words in ["is not running", "control.sock", "give the -F"] {
        assert!(told.stderr.contains(words), "{told:?}");
    }
}

#[test]
fn under_systemd_the_socket_is_in_the_services_directory() {
    let (runtime, storage) = (RuntimeDir::new(), scratch());
    let options = Options::usual().variable("RUNTIME_DIRECTORY", runtime.0.path());
    let mut server = ServerProcess::ours(&options, storage.path());
    let told = tell(vec!["--status"], Some(runtime.0.path()));
    assert!(told.is_well() && told.stdout.contains(&format!("process {}", server.id())), "{told:?}");
    server.signal(rustix::process::Signal::TERM);
    assert_eq!(server.wait(), Some(0));
    assert!(!runtime.socket().exists(), "it goes with its process");
}

#[test]
fn the_file_says_where_the_socket_is_and_who_may_use_it() {
    let runtime = RuntimeDir::new();
    let keys = format!("control_socket {}\ncontrol_mode 0600\n", runtime.socket().to_string_lossy());
    let buffer = Buffer::start(&keys);
    assert_eq!(named_sockets(buffer.id()), [runtime.socket().to_string_lossy()]);
    let metadata = fs::symlink_metadata(runtime.socket()).unwrap();
    assert!(metadata.file_type().is_socket() && metadata.permissions().mode() & 0o777 == 0o600, "{metadata:?}");
    // By its own file, whatever else stands there by now.
    let file = buffer.storage().parent().unwrap().join("tentacle_server.conf");
    let file = file.to_string_lossy();
    fs::write(&*file, format!("{keys}port x\nnonsense\n")).unwrap();
    assert!(tell(vec!["-F", &file, "--status"], None).is_well());
    fs::write(&*file, "control_socket \"/x\"\n").unwrap();
    let told = tell(vec!["-F", &file, "--status"], None);
    assert!(told.code == 3 && told.stderr.contains("path without quotes"), "{told:?}");

    // Another server serves without one, and says so.
    let other = Buffer::start(&keys);
    other.connect().store("a.1700000000.data", "1");
    other.wait_for_line(&["reason=control", "another process serves the control socket", "serving without it"]);
    assert_eq!(runtime.json().1["storage"]["directory"], buffer.storage().to_string_lossy().as_ref());
}

#[test]
fn who_says_or_reads_nothing_keeps_neither_agents_nor_who_asks_waiting() {
    let runtime = RuntimeDir::new();
    let buffer = Buffer::with(runtime.option(Options::usual()), "");
    crowd(&runtime.socket(), STATUS, |number| {
        buffer.connect().store(&format!("during.{number}.data"), "stored all the same");
        let answers = ask(&runtime.socket(), STATUS);
        assert_eq!((&answers[0]["type"], &answers[1]["type"]), (&"server".into(), &"end".into()), "with {number}");
    });
    assert_eq!(runtime.json().1["connections"]["accepted"], 1 + 10, "they are no clients of the storage");
}

#[test]
fn what_is_no_request_for_a_server_is_answered_with_what_was_expected() {
    let runtime = RuntimeDir::new();
    let _buffer = Buffer::with(runtime.option(Options::usual()), "");
    let long = [vec![b'x'; 100_000], vec![b'\n']].concat();
    for (request, word) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "expected one line such as"),
        (b"{\"version\":7,\"command\":{\"status\":{}}}\n", "version 7"),
        (b"{\"version\":1,\"command\":{\"status\":{\"sites\":[\"a\"]}}}\n", "has no sites"),
        (b"{\"version\":1,\"command\":{\"pause\":{\"sites\":[\"a\"]}}}\n", "its status alone"),
        (&long, "65536"),
    ] {
        let answers = ask(&runtime.socket(), request);
        assert_eq!((answers.len(), &answers[0]["type"]), (1, &"error".into()));
        assert!(answers[0]["problems"].to_string().contains(word), "{answers:?}");
    }
}

#[test]
fn a_relay_tells_of_the_server_behind_it() {
    let (runtime, certificates, behind) = (RuntimeDir::new(), Certificates::new(), free_address());
    let options = Options::default().arg("-b").arg(behind.ip().to_string()).arg("-g").arg(behind.port().to_string());
    let options = runtime.option(options.tls(&certificates));
    let relay = Buffer::with(options, "idle_timeout 10s\n");
    let (code, found) = runtime.json();
    assert!(code == 0 && found["storage"].is_null() && found["certificate_days"].is_i64(), "{found}");
    let _client = Client::connect_tls(relay.address(), certificates.client_config(false)).unwrap();
    let found = runtime.wait_for(|server| server["relay"]["failure"].is_object());
    assert_eq!(
        (&found["problems"][0]["reason"], &found["relay"]["reached_seconds"]),
        (&"upstream".into(), &Value::Null)
    );
    let told = runtime.status(&[]);
    assert!(
        told.code == 1 && told.stdout.contains("! upstream: 127.0.0.1:") && told.stdout.contains("refused"),
        "{told:?}"
    );
}

#[test]
fn files_of_another_are_not_lost_by_asking() {
    // The client of the stock protocol, while somebody asks all the time.
    let runtime = RuntimeDir::new();
    let buffer = Buffer::with(runtime.option(Options::usual()), "");
    let names: Vec<String> = (0..50).map(|number| format!("agent{number}.1700000000.data")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"data"[..])).collect();
    let work_dir = WorkDir::with(&files);
    for chunk in names.chunks(10) {
        work_dir.run_at(buffer.address(), chunk).assert_done();
        ask(&runtime.socket(), STATUS);
    }
    assert_eq!(buffer.files(), work_dir.files());
}
