use std::cell::{RefCell, RefMut};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::rc::Rc;

use super::super::scripted_connection::ScriptedConnection;
use super::*;
use crate::net::{ListenerConfig, ListenerId, LocalId};
use crate::status_port::{self, Network as _};

const SITE: usize = 3;

/// A network whose connections have what a test gives them, at a time that a test sets.
struct World {
    now: Instant,
    began: Instant,
    connections: BTreeMap<ConnId, ScriptedConnection>,
    ready: BTreeSet<ConnId>,
}

/// 18:59:30 UTC on 1 June 2026.
const BEGINS: u64 = 1_780_340_370;

#[derive(Clone)]
struct ScriptedNet(Rc<RefCell<World>>);

impl ScriptedNet {
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn new() -> Self {
        let now = Instant::now();
        Self(Rc::new(RefCell::new(World { now, began: now, connections: BTreeMap::new(), ready: BTreeSet::new() })))
    }

    fn connection(&self, id: ConnId) -> RefMut<'_, ScriptedConnection> {
        RefMut::map(self.0.borrow_mut(), |world| world.connections.get_mut(&id).unwrap())
    }

    fn now(&self) -> Instant {
        self.0.borrow().now
    }
}

impl status_port::Network for ScriptedNet {
    fn now(&self) -> Instant {
        self.now()
    }

    fn date(&self) -> UnixTime {
        let world = self.0.borrow();
        UnixTime::since_unix_epoch(Duration::from_secs(BEGINS) + (world.now - world.began))
    }

    fn wake(&mut self, id: ConnId) {
        self.0.borrow_mut().ready.insert(id);
    }

    fn abort(&mut self, id: ConnId) {
        self.0.borrow_mut().connections.remove(&id);
    }

    fn listen(&mut self, _: SocketAddr, _: Arc<ListenerConfig>) -> io::Result<ListenerId> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn stop_listening(&mut self, _: ListenerId) {}

    fn admit(&mut self, _: ConnId) {}

    fn half_close(&mut self, _: ConnId) {}

    fn client(&mut self, id: ConnId) -> Option<Box<dyn status_port::Connection + '_>> {
        self.io(id).map(|io| io as Box<dyn status_port::Connection>)
    }
}

impl Network for ScriptedNet {
    fn max_loop_latency(&self) -> Duration {
        Duration::ZERO
    }

    fn take_loop_latency(&mut self) -> Duration {
        Duration::ZERO
    }

    fn connections(&self) -> usize {
        self.0.borrow().connections.len()
    }

    fn open(&mut self, _: Arc<Target>, _: bool) -> ConnId {
        let mut world = self.0.borrow_mut();
        let (id, now) = (ConnId::new(world.connections.len(), 1), world.now);
        world.connections.insert(id, ScriptedConnection::new(now));
        id
    }

    fn io(&mut self, id: ConnId) -> Option<Box<dyn Connection + '_>> {
        Some(Box::new(End { net: self.clone(), id }))
    }

    fn close(&mut self, id: ConnId) {
        self.abort(id);
    }

    fn listen_locally(&mut self, _: UnixListener) -> io::Result<()> {
        Ok(())
    }

    fn answer(&mut self, _: LocalId, _: &[u8]) {}

    fn tell(&mut self, _: LocalId, _: &[u8]) {}

    fn finish_answer(&mut self, _: LocalId) {}

    /// Time passes until a deadline, `until`, or at once where something is ready.
    fn poll_once(&mut self, until: Option<Instant>) -> io::Result<Vec<Event>> {
        let mut world = self.0.borrow_mut();
        let deadlines = world.connections.iter().filter_map(|(id, one)| Some((one.deadline?, *id)));
        let first = deadlines.min();
        if world.ready.is_empty() {
            let next = until.into_iter().chain(first.map(|(at, _)| at)).min().expect("something is to come");
            world.now = world.now.max(next);
        }
        let now = world.now;
        world.connections.values_mut().for_each(|one| one.now = now);
        let late = first.filter(|(at, _)| *at <= now).map(|(_, id)| id);
        late.map(|id| world.connections.remove(&id));
        let failed = late.map(|id| Event::Failed(id, Failure::Timeout(crate::net::Phase::Session)));
        Ok(failed.into_iter().chain(std::mem::take(&mut world.ready).into_iter().map(Event::Ready)).collect())
    }
}

struct End {
    net: ScriptedNet,
    id: ConnId,
}

impl ByteStream for End {
    fn read(&mut self, most: u64, take: &mut dyn FnMut(&[u8]) -> usize) -> Result<Read, Failure> {
        self.net.connection(self.id).read(most, take)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        self.net.connection(self.id).write(bytes)
    }

    fn flush(&mut self) -> Result<bool, Failure> {
        Ok(true)
    }
}

impl Compressible for End {
    fn compression_place(&mut self) -> Option<CompressionPlace> {
        self.net.connection(self.id).compression_place()
    }

    fn compress(&mut self, place: CompressionPlace) {
        self.net.connection(self.id).compress(place);
    }

    fn compressed_bytes(&mut self) -> Option<CompressedBytes> {
        self.net.connection(self.id).compressed_bytes()
    }
}

impl status_port::Connection for End {
    fn now(&self) -> Instant {
        self.net.now()
    }

    fn set_deadline(&mut self, wait: Option<Duration>) {
        self.net.connection(self.id).set_deadline(wait);
    }

    fn drain_by(&mut self, wait: Duration, _: Option<Instant>) {
        self.set_deadline(Some(wait));
    }
}

impl Connection for End {
    fn date(&self) -> UnixTime {
        self.net.date()
    }

    fn peer(&mut self) -> Option<PeerDescription> {
        None
    }

    fn has_buffered(&mut self) -> bool {
        false
    }

    fn has_ended(&mut self) -> bool {
        false
    }

    fn has_unsent(&mut self) -> bool {
        false
    }

    fn wake(&mut self) {
        self.net.wake(self.id);
    }

    fn time_left(&mut self) -> Option<Duration> {
        self.net.connection(self.id).time_left()
    }
}

fn limited() -> (ScriptedNet, LimitedNet) {
    let scripted = ScriptedNet::new();
    let net = LimitedNet::new(Box::new(scripted.clone()), || TimeZone::UTC);
    (scripted, net)
}

fn open(net: &mut LimitedNet) -> ConnId {
    let target = Target {
        host: "site".into(),
        port: 1,
        local: None,
        proxy: None,
        tls: None,
        timeout: Duration::from_secs(10),
        quick_ack: false,
    };
    net.open(SITE, Arc::new(target), false)
}

fn limit(text: &str) -> Timetable {
    text.parse().unwrap()
}

/// Reads all that may be read now. How many bytes that is.
fn read(net: &mut LimitedNet, id: ConnId) -> usize {
    let (mut io, mut count) = (net.io(id).unwrap(), 0);
    while let Read::Bytes(more) = io.read(1 << 16, &mut |bytes| bytes.len()).unwrap() {
        count += more;
    }
    count
}

/// What is read until the input is at its end, and how long that takes.
fn read_all(scripted: &ScriptedNet, net: &mut LimitedNet, id: ConnId) -> (usize, Duration) {
    let began = scripted.now();
    let mut count = read(net, id);
    while !scripted.connection(id).input.is_empty() {
        for event in net.poll_once(None).unwrap() {
            match event {
                Event::Ready(id) => count += read(net, id),
                other => panic!("{other:?} after {:?}, {count} bytes", scripted.now() - began),
            }
        }
    }
    (count, scripted.now() - began)
}

#[test]
fn a_peer_that_is_kept_waiting_is_not_late_and_then_has_the_time_it_had() {
    let (scripted, mut net) = limited();
    net.limit_site(SITE, &limit("64K"));
    let id = open(&mut net);
    scripted.connection(id).input = vec![7; 4 << 20].into();
    net.io(id).unwrap().set_deadline(Some(Duration::from_millis(10)));
    let (count, took) = read_all(&scripted, &mut net, id);
    assert_eq!(count, 4 << 20);
    assert!((63..65).contains(&took.as_secs()), "{took:?}");
    let peer_time = net.io(id).unwrap().peer_time();
    assert!(scripted.now() - peer_time > took.mul_f64(0.98), "the limit was all that it waited for");
    // Nothing more comes, and the limit is not what keeps it.
    let before = scripted.now();
    let events = net.poll_once(None).unwrap();
    assert!(matches!(&events[..], [Event::Failed(late, _)] if *late == id), "{events:?}");
    assert!(scripted.now() - before <= Duration::from_millis(10));
}

#[test]
fn a_limit_changes_in_its_minute_and_by_word_at_once() {
    let (scripted, mut net) = limited();
    net.limit_all(&limit("08:00,64K 19:00,off"));
    let id = open(&mut net);
    scripted.connection(id).input = vec![7; 4 << 20].into();
    let (count, took) = read_all(&scripted, &mut net, id);
    assert_eq!((count, net.overall_limit().bytes_per_second), (4 << 20, None));
    // At 18:59:30 it began.
    assert!((29..31).contains(&took.as_secs()), "{took:?}");
    net.limit_all(&limit("19:00,1M"));
    scripted.connection(id).input = vec![7; 2 << 20].into();
    let (_, took) = read_all(&scripted, &mut net, id);
    assert!((1_800..2_000).contains(&took.as_millis()), "{took:?}");
    assert_eq!(net.overall_limit().bytes_per_second, Some(1 << 20));
}

#[test]
fn of_a_compressed_connection_the_bytes_on_the_line_are_limited() {
    let (scripted, mut net) = limited();
    net.limit_site(SITE, &limit("64K"));
    let id = open(&mut net);
    {
        let mut io = net.io(id).unwrap();
        let place = io.compression_place().unwrap();
        io.compress(place);
    }
    scripted.connection(id).input = vec![7; 4 << 20].into();
    let (count, took) = read_all(&scripted, &mut net, id);
    assert_eq!(count, 4 << 20);
    assert!((31..33).contains(&took.as_secs()), "{took:?}");
}

#[test]
fn what_is_sent_is_limited_by_itself() {
    let (scripted, mut net) = limited();
    net.limit_site(SITE, &limit("64K"));
    let id = open(&mut net);
    scripted.connection(id).input = vec![7; 640 << 10].into();
    let (began, body) = (scripted.now(), vec![7; 640 << 10]);
    let (mut sent, mut received) = (0, 0);
    while sent < body.len() || received < 640 << 10 {
        received += read(&mut net, id);
        let mut io = net.io(id).unwrap();
        while let written @ 1.. = io.write(&body[sent..]).unwrap() {
            sent += written;
        }
        drop(io);
        net.poll_once(None).unwrap();
    }
    let took = scripted.now() - began;
    assert!((9_700..10_300).contains(&took.as_millis()), "{took:?}");
}

#[test]
fn the_end_of_a_body_is_read_together_with_what_may_be_beyond_it() {
    let (scripted, mut net) = limited();
    net.limit_site(SITE, &limit("64K"));
    let id = open(&mut net);
    scripted.connection(id).input = vec![7; 1 << 20].into();
    let mut left: usize = 300_007;
    while left > 0 {
        let mut io = net.io(id).unwrap();
        let most = left as u64 + OVERDRAFT;
        let mut end = None;
        let read = io.read(most, &mut |bytes| {
            end = bytes.len().checked_sub(left);
            bytes.len()
        });
        drop(io);
        match read.unwrap() {
            Read::Bytes(count) => left = left.saturating_sub(count),
            _ => drop(net.poll_once(None).unwrap()),
        }
        assert!(end.is_none_or(|beyond| beyond as u64 == OVERDRAFT), "{end:?} bytes are seen beyond the end");
    }
}

#[test]
fn a_connection_that_is_no_more_leaves_nothing_behind() {
    let (scripted, mut net) = limited();
    net.limit_all(&limit("64K"));
    let [one, other] = [open(&mut net), open(&mut net)];
    for id in [one, other] {
        scripted.connection(id).input = vec![7; 1 << 20].into();
        read(&mut net, id);
    }
    net.close(one);
    let (count, took) = read_all(&scripted, &mut net, other);
    assert!(count > 1_000_000 && took < Duration::from_secs(17), "{count} in {took:?}");
    net.abort(other);
    assert!(net.connections.is_empty());
    assert_eq!(net.throttles.due(scripted.now()), None);
}
