//! Agents and what they report: files like those of Pandora FMS agents.

use std::fmt::Write;

use fastrand::Rng;

/// The first report's time: 2023-11-14, in epoch seconds.
const START: u64 = 1_700_000_000;

/// From one report of an agent to its next, in seconds.
const INTERVAL: u64 = 300;

/// Where a report stops growing, in bytes; the last module may carry it a little further.
const SIZES: std::ops::RangeInclusive<usize> = 600..=4_700;

const END: &str = "</agent_data>\n";

const MODULES: [(&str, &str, &str, u32); 6] = [
    ("CPU Load", "CPU usage", "%", 100),
    ("Free Memory", "Non-used memory", "MB", 65_536),
    ("Disk_/", "Free space on the root filesystem", "%", 100),
    ("Network Traffic (incoming)", "Bytes received since the last report", "bytes", 90_000_000),
    ("Total Processes", "Processes running", "", 900),
    ("Host Latency", "Round trip to the gateway", "ms", 250),
];

/// Agents that report in turn. The same fleet writes the same files each time.
#[derive(Clone, Debug)]
pub struct AgentFiles {
    /// What the agents' names begin with; sites with different prefixes share no file name.
    pub prefix: String,
    /// How many agents there are.
    pub agents: usize,
    /// What their files' contents depend on, besides the names.
    pub seed: u64,
}

impl AgentFiles {
    /// The first `count` files, oldest first: `<agent>.<epoch second>.data` and 0.5 to 5 KiB of lines of XML.
    pub fn files(&self, count: usize) -> impl Iterator<Item = (String, Vec<u8>)> + use<> {
        let Self { prefix, agents, seed } = self.clone();
        let agents = agents.max(1);
        let mut rng = Rng::with_seed(seed);
        (0..count).map(move |number| {
            let agent = format!("{prefix}{:04}", number % agents);
            let epoch = START + INTERVAL * (number / agents) as u64;
            let name = format!("{agent}.{epoch}.data");
            (name, report(&mut rng, &agent).into_bytes())
        })
    }
}

fn report(rng: &mut Rng, agent: &str) -> String {
    let size = rng.usize(SIZES);
    let mut xml = String::with_capacity(size + 512);
    xml.push_str("<?xml version='1.0' encoding='UTF-8'?>\n");
    push(
        &mut xml,
        format_args!(
            "<agent_data agent_name='{agent}' agent_alias='{agent}' description='' os_name='Linux' \
             os_version='6.1.0' group='Servers' interval='{INTERVAL}' version='7.0NG' timestamp='AUTO'>\n"
        ),
    );
    let mut number = 0;
    while xml.len() + END.len() < size {
        push_module(&mut xml, rng, number);
        number += 1;
    }
    xml.push_str(END);
    xml
}

fn push_module(xml: &mut String, rng: &mut Rng, number: usize) {
    let (name, description, unit, limit) = MODULES[number % MODULES.len()];
    let round = number / MODULES.len();
    let value = rng.u32(0..limit);
    push(
        xml,
        format_args!(
            "<module>\n\t<name><![CDATA[{name} {round}]]></name>\n\t<description><![CDATA[{description}]]>\
             </description>\n\t<type>generic_data</type>\n\t<unit><![CDATA[{unit}]]></unit>\n\
             \t<data><![CDATA[{value}]]></data>\n</module>\n"
        ),
    );
}

fn push(xml: &mut String, text: std::fmt::Arguments<'_>) {
    xml.write_fmt(text).expect("a String takes all that is written to it");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn fleet(seed: u64) -> AgentFiles {
        AgentFiles { prefix: "web".into(), agents: 7, seed }
    }

    #[test]
    fn the_same_fleet_writes_the_same_files() {
        let files: Vec<_> = fleet(1).files(50).collect();
        assert!(files.iter().eq(fleet(1).files(80).take(50).collect::<Vec<_>>().iter()));
        assert_ne!(files, fleet(2).files(50).collect::<Vec<_>>());
    }

    #[test]
    fn names_are_unique_and_sizes_realistic() {
        let files: BTreeMap<_, _> = fleet(3).files(1_000).collect();
        assert_eq!(files.len(), 1_000);
        assert!(files.contains_key("web0000.1700000000.data") && files.contains_key("web0001.1700000300.data"));
        for (name, body) in files {
            assert!((512..=5_120).contains(&body.len()), "{name}: {}", body.len());
            assert!(body.starts_with(b"<?xml") && body.ends_with(b"</agent_data>\n"));
        }
    }
}
