use super::*;

const FAR: Duration = Duration::from_millis(100);

#[expect(clippy::disallowed_methods, reason = "any instant will do")]
fn now() -> Instant {
    Instant::now()
}

fn name(name: &str) -> FileName {
    name.parse().unwrap()
}

/// A site as far away as that, and the time there.
struct Far {
    pipelining: Pipelining,
    now: Instant,
}

impl Far {
    fn new(is_in_records: bool) -> Self {
        let mut pipelining = Pipelining::new(is_in_records);
        pipelining.answered_within(FAR);
        Self { pipelining, now: now() }
    }

    fn distance(&self) -> Duration {
        self.pipelining.distance().unwrap()
    }

    /// So many commands sent ahead are answered, one every so often.
    fn goes_well(&mut self, commands: u32, every: Duration) {
        for _ in 0..commands {
            self.now += every;
            self.pipelining.went_well(self.now);
        }
    }

    /// The next connection's session ends with no answer to what was asked about this file.
    fn ends(&mut self, end: EarlyEnd, first: &str) -> Option<u32> {
        self.now += 2 * FAR;
        self.pipelining.ended(end, Some(&name(first)), self.now)
    }
}

#[test]
fn records_need_no_distance_and_what_is_plain_needs_one_and_a_way_that_is_long() {
    let mut plain = Pipelining::new(false);
    assert_eq!((Pipelining::new(true).distance(), plain.distance()), (Some(Duration::ZERO), None));
    plain.answered_within(FAR);
    assert_eq!(plain.distance(), Some(FIRST_DISTANCE));
    plain.answered_within(Duration::from_millis(19));
    assert_eq!(plain.distance(), None);
}

#[test]
fn an_end_after_some_answers_makes_the_distance_larger_and_costs_no_lock_step() {
    let mut plain = Far::new(false);
    plain.goes_well(WORTHWHILE, Duration::ZERO);
    assert_eq!(plain.ends(EarlyEnd::Unexplained, "a.1.data"), None);
    assert_eq!((plain.distance(), plain.pipelining.is_begun()), (FIRST_DISTANCE * 5 / 4, true));
}

#[test]
fn the_distance_shrinks_in_small_steps_while_nothing_ends_and_never_too_far() {
    let mut plain = Far::new(false);
    plain.goes_well(10 * CLEAN, Duration::ZERO);
    assert_eq!(plain.distance(), FIRST_DISTANCE, "that was no time");
    plain.goes_well(2, SETTLED * FAR);
    assert_eq!(plain.distance(), FIRST_DISTANCE * 15 / 16);
    plain.goes_well(2, SETTLED * FAR);
    assert_eq!(plain.distance(), FIRST_DISTANCE * 15 / 16, "those were few");
    plain.goes_well(100 * CLEAN, FAR);
    assert_eq!(plain.distance(), LEAST_DISTANCE);
}

#[test]
fn the_distance_comes_to_rest_where_ends_cost_a_fifth_of_the_time() {
    // A server that is away now and then, for longer than 8 ms once in 8 seconds, and for longer than 5 ms once a second.
    let mut plain = Far::new(false);
    let (mut away, mut ends, begin) = (Duration::ZERO, 0, plain.now);
    for _ in 0..100_000 {
        let distance = plain.distance();
        plain.goes_well(1, 2 * distance);
        away += 2 * distance;
        if away >= Duration::from_secs_f64((distance.as_secs_f64() / 0.005).powf(4.4)) {
            (away, ends) = (Duration::ZERO, ends + 1);
            plain.now += FAR;
            plain.ends(EarlyEnd::Unexplained, &format!("a.{ends}.data"));
        }
    }
    let lost = f64::from(ends) * 0.3 / (plain.now - begin).as_secs_f64();
    assert!((0.1..0.25).contains(&lost), "{lost}");
}

#[test]
fn the_distance_grows_no_further_than_is_worthwhile() {
    let mut plain = Far::new(false);
    for end in 0..20 {
        plain.goes_well(WORTHWHILE, Duration::ZERO);
        assert_eq!(plain.ends(EarlyEnd::Unexplained, &format!("a.{end}.data")), None);
    }
    assert_eq!((plain.distance(), plain.pipelining.is_begun()), (FAR / OF_ROUND_TRIP, true));
}

#[test]
fn ends_before_anything_has_come_cost_ever_more_lock_step() {
    for end in [EarlyEnd::Unexplained, EarlyEnd::Answered] {
        for is_in_records in [false, true] {
            let mut far = Far::new(is_in_records);
            for steps in [1, 2, 4, 8] {
                assert_eq!(far.ends(end, &format!("a.{steps}.data")), Some(steps));
                for _ in 0..steps {
                    assert!(!far.pipelining.is_begun());
                    far.pipelining.took_step();
                }
                assert!(far.pipelining.is_begun());
            }
            for _ in 0..20 {
                far.ends(end, "a.1.data");
            }
            assert_eq!(far.ends(end, "a.1.data"), Some(1 << MOST_DOUBLINGS));
            far.goes_well(WORTHWHILE, Duration::ZERO);
            assert_eq!((far.ends(end, "a.1.data"), far.ends(end, "a.1.data")), (None, Some(1)), "the row is over");
        }
    }
}

#[test]
fn an_end_that_was_to_be_expected_leaves_the_distance() {
    for is_in_records in [false, true] {
        let mut far = Far::new(is_in_records);
        let before = far.distance();
        far.ends(EarlyEnd::Answered, "a.1.data");
        assert_eq!(far.distance(), before);
    }
}

#[test]
fn who_takes_records_apart_is_sent_commands_at_a_distance_as_long_as_that_lasts() {
    let mut tls = Far::new(true);
    tls.goes_well(WORTHWHILE, Duration::ZERO);
    tls.ends(EarlyEnd::Unexplained, "a.1.data");
    assert_eq!(tls.distance(), Duration::ZERO, "the line may break");
    tls.ends(EarlyEnd::Unexplained, "a.2.data");
    assert_eq!(tls.distance(), FIRST_DISTANCE);
    tls.goes_well(100 * CLEAN, FAR);
    assert_eq!(tls.distance(), Duration::ZERO);
}

#[test]
fn connections_that_end_within_a_round_trip_count_as_one() {
    let mut plain = Far::new(false);
    plain.goes_well(WORTHWHILE, Duration::ZERO);
    plain.ends(EarlyEnd::Unexplained, "a.1.data");
    for _ in 0..10 {
        plain.now += FAR / 20;
        assert_eq!(plain.pipelining.ended(EarlyEnd::Unexplained, None, plain.now), None);
    }
    assert_eq!((plain.distance(), plain.pipelining.is_begun()), (FIRST_DISTANCE * 5 / 4, true));
}

#[test]
fn a_file_that_stood_first_when_two_sessions_ended_is_not_asked_for_ahead() {
    let mut plain = Far::new(false);
    for (first, is_suspect) in [("a.1.data", false), ("b.1.data", false), ("b.1.data", true), ("c.1.data", false)] {
        plain.goes_well(WORTHWHILE, Duration::ZERO);
        plain.ends(EarlyEnd::Unexplained, first);
        assert_eq!(plain.pipelining.may_ask_ahead(&name(first)), !is_suspect, "{first}");
    }
    assert!(!plain.pipelining.may_ask_ahead(&name("b.1.data")), "it has not been asked for since");
}
