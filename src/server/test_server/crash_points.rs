//! The way of files through the server, with a crash before and after every call of its storage.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use super::{Answer, Op, TestClient, TestServer, memory_dir};
use crate::net::ConnId;
use crate::proto::{FileName, Refusal};
use crate::store::model::{SiteFault, StorageEvent, When};

/// What may happen at a call.
const CRASHES: [SiteFault; 4] = [
    SiteFault::Kill(When::Before),
    SiteFault::Kill(When::After),
    SiteFault::PowerLoss(When::Before),
    SiteFault::PowerLoss(When::After),
];

/// Lives for each loss of power: what survives is a matter of luck.
const SEEDS: u64 = 2;

/// Bytes a client writes at once: fewer than a body has, or all of it. Who takes a file is ahead of who sends one, or
/// behind.
const PIECES: [usize; 2] = [20, 100];

/// Most rounds that a wave of ops takes.
const ROUNDS: u32 = 1_000;

/// The clients' requests, all at the same time.
#[derive(Clone, Copy)]
enum Want {
    Send(&'static str),
    Move(&'static str),
    /// To be given a file, and to have it removed.
    Take(&'static str),
    /// To be given a file; but the connection dies before it comes.
    Lose(&'static str),
}

use Want::{Lose, Move, Send, Take};

/// Groups of one, of few, which are flushed one by one, and of many; in two directories. Names come again, in a later
/// wave and in the same, and files go in a group with others that come. (Not those that are taken: an agent without an answer
/// sends again, and what it sends is another file once the first is gone for certain.)
const WAVES: [&[Want]; 8] = [
    &[Send("a")],
    &[Send("a"), Send("b"), Send("k.conf")],
    &[Move("b"), Send("c"), Send("c"), Send("b")],
    &[Send("d"), Send("e"), Send("k.conf"), Send("f"), Move("c"), Send("l.conf"), Send("a"), Send("g")],
    &[Take("f"), Send("h"), Take("g")],
    &[Take("e"), Send("f"), Send("g"), Take("h")],
    &[Lose("d"), Lose("l.conf"), Move("a"), Move("k.conf")],
    &[Send("a")],
];

/// How a life went.
#[derive(Debug, Default, PartialEq, Eq)]
struct Verdict {
    /// Files whose clients were answered that they are stored, and that are nowhere.
    lost: u64,
    /// Files collected again after a listing had shown them gone.
    doubled: u64,
}

impl Verdict {
    fn add(&mut self, other: &Self) {
        self.lost += other.lost;
        self.doubled += other.doubled;
    }
}

type File = (FileName, Vec<u8>);

struct Scenario {
    server: TestServer,
    now: Instant,
    piece: usize,
    calls: u32,
    /// How often each file was collected, of all that were sent.
    sent: BTreeMap<File, u64>,
    /// Those whose clients were answered that they are stored.
    acknowledged: Vec<File>,
    /// Of these, the ones that nobody has taken and nothing has taken the place of.
    promised: Vec<File>,
    /// What others have taken the place of.
    gone: Vec<File>,
    /// What a collector has in its journal and may still be there.
    journal: BTreeMap<FileName, Vec<u8>>,
    verdict: Verdict,
}

impl Scenario {
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn new(dir: &Path, overwrite: bool, piece: usize, seed: u64) -> Self {
        let mut server = TestServer::new(dir, overwrite, seed);
        server.start();
        Self {
            server,
            now: Instant::now(),
            piece,
            calls: 0,
            sent: BTreeMap::new(),
            acknowledged: Vec::new(),
            promised: Vec::new(),
            gone: Vec::new(),
            journal: BTreeMap::new(),
            verdict: Verdict::default(),
        }
    }

    /// Has all of these done, at the same time, each again until it is answered.
    fn carry_out(&mut self, ops: Vec<Op>) -> Vec<Answer> {
        let mut calls: Vec<TestClient> = ops.into_iter().map(|op| self.call(op)).collect();
        let mut answered = vec![false; calls.len()];
        for _ in 0..ROUNDS {
            let mut is_moving = false;
            for (call, answered) in calls.iter_mut().zip(&mut answered) {
                is_moving |= call.go_on(&mut self.server, self.piece, self.now);
                if let (Op::Take(name), Some(bytes)) = (call.op().clone(), call.taken()) {
                    self.collect(name, bytes);
                }
                if let Some(answer) = call.answer().filter(|_| !*answered) {
                    *answered = true;
                    self.on_event(call.op().clone(), answer);
                }
                self.look();
            }
            if self.server.disk.is_down() {
                calls.iter_mut().for_each(TestClient::hang_up);
                self.start_again();
                for call in calls.iter_mut().filter(|call| call.answer().is_none()) {
                    *call = self.call(call.op().clone());
                }
            } else if !is_moving && self.server.orders() > 0 {
                self.server.store(usize::MAX);
                self.server.woken();
                self.look();
            } else if !is_moving {
                return calls.iter().map(|call| call.answer().expect("nothing is under way").clone()).collect();
            }
        }
        panic!("it comes to no end: {calls:?}");
    }

    fn call(&mut self, op: Op) -> TestClient {
        self.calls += 1;
        TestClient::new(ConnId::new(self.calls as usize, self.calls), op, &mut self.server, self.now)
    }

    fn start_again(&mut self) {
        self.server.crash();
        self.look();
        self.server.start();
        assert_eq!(self.server.staged(), 0, "what was staged is swept");
    }

    fn on_event(&mut self, op: Op, answer: &Answer) {
        if let (Op::Send { name, bytes }, Answer::Stored) = (op, answer) {
            let file = (name, bytes);
            // Another may have taken its place in the very group.
            if !self.gone.contains(&file) {
                self.promised.push(file.clone());
            }
            self.acknowledged.push(file);
        }
    }

    /// Takes note of what has happened to the disk. What was promised is there, and whatever is there is whole.
    fn look(&mut self) {
        let file = |server: &TestServer, file| server.disk.look(file, |file| (file.name.clone(), file.bytes.clone()));
        for happening in self.server.disk.happened() {
            match happening {
                StorageEvent::RemovalOrdered(_) | StorageEvent::RemovalFailed(_) | StorageEvent::PowerLost => {}
                StorageEvent::Named { file: id, .. } => {
                    let new = file(&self.server, id);
                    self.gone.retain(|gone| *gone != new);
                }
                StorageEvent::Removed(id) => {
                    let gone = file(&self.server, id);
                    // A file given is a file taken.
                    self.promised.retain(|promised| *promised != gone);
                }
                StorageEvent::Superseded(id) => {
                    let gone = file(&self.server, id);
                    if is_kept(&self.server, &gone) {
                        continue;
                    }
                    self.promised.retain(|promised| *promised != gone);
                    self.gone.push(gone);
                }
            }
        }
        for id in self.server.disk.files() {
            let whole = file(&self.server, id);
            assert!(self.sent.contains_key(&whole), "half of {} is there", whole.0);
        }
        let before = self.promised.len();
        self.promised.retain(|file| is_kept(&self.server, file));
        self.verdict.lost += (before - self.promised.len()) as u64;
    }

    fn send(&mut self, name: &str) -> Op {
        let name: FileName = name.parse().unwrap();
        let bytes = format!("{name}, the {}th file of all", self.sent.len()).into_bytes();
        self.sent.insert((name.clone(), bytes.clone()), 0);
        Op::Send { name, bytes }
    }

    /// The collector is given a file.
    fn collect(&mut self, name: FileName, bytes: Vec<u8>) {
        if self.journal.get(&name) == Some(&bytes) {
            return;
        }
        self.journal.insert(name.clone(), bytes.clone());
        let file = (name, bytes);
        let times = self.sent.get_mut(&file).expect("what is collected was sent");
        *times += 1;
        self.verdict.doubled += u64::from(*times > 1);
    }

    /// A client accepts the file, and is gone.
    fn lose(&mut self, name: &str) {
        let mut call = self.call(Op::Move(name.parse().unwrap()));
        for _ in ["its command", "its answer"] {
            call.go_on(&mut self.server, usize::MAX, self.now);
        }
        self.look();
    }

    fn wave(&mut self, wants: &[Want]) {
        let ops = wants.iter().filter_map(|want| match want {
            Send(name) => Some(self.send(name)),
            Move(name) => Some(Op::Move(name.parse().unwrap())),
            Take(name) => Some(Op::Take(name.parse().unwrap())),
            Lose(name) => {
                self.lose(name);
                None
            }
        });
        let ops: Vec<Op> = ops.collect();
        let answers = self.carry_out(ops.clone());
        for (op, answer) in ops.into_iter().zip(answers) {
            match (op, answer) {
                (Op::Move(name), Answer::Given(bytes)) => self.collect(name, bytes),
                // The next file of that name is another.
                (Op::Take(name), Answer::Dropped | Answer::Refused(Refusal::Missing)) => {
                    self.journal.remove(&name);
                }
                (Op::Take(_), Answer::Refused(Refusal::Changed))
                | (Op::Send { .. }, Answer::Stored | Answer::Refused(Refusal::Exists)) => {}
                (op, answer) => assert_eq!(answer, Answer::Refused(Refusal::Unspecified), "{op:?}"),
            }
        }
    }

    /// Collects until nothing is listed.
    fn collect_all(&mut self) {
        loop {
            let mut names: Vec<FileName> = Vec::new();
            for word in ["", ".conf"] {
                let answers = self.carry_out(vec![Op::List(word.parse().unwrap())]);
                let [Answer::Given(listing)] = &answers[..] else { panic!("{answers:?}") };
                let lines = listing.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
                names.extend(
                    lines
                        .filter(|line| ![&b"."[..], b"..", b"conf"].contains(line))
                        .map(|line| FileName::new(line).expect("a listed name can be asked for")),
                );
            }
            self.journal.retain(|name, _| names.contains(name));
            if names.is_empty() {
                return;
            }
            for name in names {
                let answers = self.carry_out(vec![Op::Move(name.clone())]);
                let [Answer::Given(bytes)] = &answers[..] else { panic!("{name} is listed: {answers:?}") };
                self.collect(name, bytes.clone());
            }
        }
    }

    /// From the first wave to the last file's collection.
    fn run(mut self) -> (Verdict, u64) {
        for wave in WAVES {
            self.wave(wave);
        }
        self.collect_all();
        let is_lost = |file: &&File| self.sent[*file] == 0 && !self.gone.contains(file);
        self.verdict.lost += self.acknowledged.iter().filter(is_lost).count() as u64;
        (self.verdict, self.server.disk.steps())
    }
}

/// Whether a file would survive anything.
fn is_kept(server: &TestServer, (name, bytes): &File) -> bool {
    let directory = usize::from(name.as_bytes().ends_with(b".conf"));
    server.disk.keeps(directory, name, bytes)
}

#[test]
fn crash_points_of_the_server_lose_and_double_nothing() {
    let dir = memory_dir();
    let (mut points, mut sum) = (0, Verdict::default());
    for (overwrite, piece) in [false, true].into_iter().flat_map(|overwrite| PIECES.map(|piece| (overwrite, piece))) {
        let (verdict, steps) = Scenario::new(dir.path(), overwrite, piece, 0).run();
        assert_eq!(verdict, Verdict::default());
        for step in 0..steps {
            for crash in CRASHES {
                points += 1;
                let seeds = if let SiteFault::Kill(_) = crash { 1 } else { SEEDS };
                for seed in 0..seeds {
                    let scenario = Scenario::new(dir.path(), overwrite, piece, seed);
                    scenario.server.disk.inject(step, crash);
                    sum.add(&scenario.run().0);
                }
            }
        }
    }
    println!("server: crash points {points}, lost {}, doubled {}", sum.lost, sum.doubled);
    assert_eq!((sum.lost, sum.doubled), (0, 0));
}
