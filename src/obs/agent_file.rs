//! A file as an agent sends it to the data server: what is told of ourselves.

use std::fmt::Write as _;

use crate::proto::{FileName, Md5Sum, shows};

/// Of a name or a text, so many characters are told.
const LONGEST: usize = 200;

/// Of an agent's name, so much stands in the name of its file.
const LONGEST_STEM: usize = 40;

/// How a module's value is judged where nobody has set that in the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thresholds {
    /// Not at all; of a `proc`, 0 is critical.
    None,
    /// From these on it is a warning, and critical.
    From(i64, i64),
    /// Below these.
    Below(i64, i64),
}

/// A module's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Number(i64),
    /// Whether it is as it should be.
    Proc(bool),
    /// It is there: the console says when it is not any more.
    KeepAlive,
}

/// One module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its name in the console.
    pub name: String,
    /// What it means.
    pub description: &'static str,
    /// Its unit, or nothing.
    pub unit: &'static str,
    /// What it has.
    pub value: Value,
    /// How that is judged.
    pub thresholds: Thresholds,
}

/// What an agent sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentFile {
    /// The agent's name.
    pub agent: String,
    /// What it is.
    pub description: &'static str,
    /// From one file to the next, in seconds.
    pub interval: u64,
    /// What it tells.
    pub modules: Vec<Module>,
}

/// A value below any that is told.
const LOWEST: i64 = -1_000_000;

impl AgentFile {
    /// As XML.
    pub fn to_xml(&self) -> String {
        let mut xml = "<?xml version='1.0' encoding='UTF-8'?>\n".to_owned();
        let Self { agent, description, interval, modules } = self;
        let (agent, version) = (escaped(agent), env!("CARGO_PKG_VERSION"));
        // A string takes whatever is written to it.
        let _ = writeln!(
            xml,
            "<agent_data agent_name='{agent}' description='{description}' interval='{interval}' os_name='Other' \
             version='tentacle-sync {version}' timestamp='AUTO'>"
        );
        for module in modules {
            module.write(&mut xml);
        }
        xml + "</agent_data>\n"
    }

    /// The name of the file that is written at `time`, in seconds since 1970: ASCII, as data servers in the C locale pass
    /// over others, and another one for each agent.
    pub fn name(&self, time: u64) -> Option<FileName> {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        let stem: String = self.agent.chars().take(LONGEST_STEM).map(plain).collect();
        let [a, b, c, d, ..] = Md5Sum::of(self.agent.as_bytes()).md5;
        format!("{stem}-{a:02x}{b:02x}{c:02x}{d:02x}.{time}.data").parse().ok()
    }
}

impl Module {
    fn write(&self, xml: &mut String) {
        let (kind, data) = match self.value {
            Value::Number(number) => ("generic_data", number),
            Value::Proc(is_good) => ("generic_proc", i64::from(is_good)),
            Value::KeepAlive => ("keep_alive", 1),
        };
        let (name, description) = (escaped(&self.name), self.description);
        let _ = write!(
            xml,
            "<module><name>{name}</name><description>{description}</description><type>{kind}</type><data>{data}</data>"
        );
        if !self.unit.is_empty() {
            let _ = write!(xml, "<unit>{}</unit>", self.unit);
        }
        // Data servers judge a value critical first, from the minimum on and below the maximum; where the maximum is less than
        // the minimum, without end. Of a `generic_proc` and a `keep_alive` with no bounds 0 is critical. They read these four
        // tags as they make the module, and no more.
        let bounds = match self.thresholds {
            Thresholds::None => None,
            Thresholds::From(warning, critical) => Some(((warning, critical), (critical, 0))),
            Thresholds::Below(warning, critical) => Some(((critical, warning), (LOWEST, critical))),
        };
        if let Some(((min_warning, max_warning), (min_critical, max_critical))) = bounds {
            let _ = write!(
                xml,
                "<min_warning>{min_warning}</min_warning><max_warning>{max_warning}</max_warning>\
                 <min_critical>{min_critical}</min_critical><max_critical>{max_critical}</max_critical>"
            );
        }
        xml.push_str("</module>\n");
    }
}

/// Text for XML, as far as it is told; what does not show becomes a question mark, since XML has no way to write most of
/// that.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for (count, c) in text.chars().enumerate() {
        match c {
            _ if count == LONGEST => {
                escaped.push('…');
                break;
            }
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\'' => escaped.push_str("&apos;"),
            '"' => escaped.push_str("&quot;"),
            c if shows(c) => escaped.push(c),
            _ => escaped.push('?'),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(agent: &str, modules: Vec<Module>) -> AgentFile {
        AgentFile { agent: agent.to_owned(), description: "a test", interval: 300, modules }
    }

    fn module(name: &str, value: Value, thresholds: Thresholds) -> Module {
        Module { name: name.to_owned(), description: "it", unit: "s", value, thresholds }
    }

    #[test]
    fn a_file_has_its_modules_with_their_thresholds() {
        let modules = vec![
            module("age", Value::Number(7), Thresholds::From(10, 20)),
            module("days", Value::Number(-1), Thresholds::Below(30, 7)),
            module("site", Value::Proc(false), Thresholds::None),
            module("alive", Value::KeepAlive, Thresholds::None),
        ];
        let xml = file("collector", modules).to_xml();
        for expected in [
            "<agent_data agent_name='collector' description='a test' interval='300'",
            "<name>age</name><description>it</description><type>generic_data</type><data>7</data><unit>s</unit>\
             <min_warning>10</min_warning><max_warning>20</max_warning>\
             <min_critical>20</min_critical><max_critical>0</max_critical></module>",
            "<min_warning>7</min_warning><max_warning>30</max_warning>\
             <min_critical>-1000000</min_critical><max_critical>7</max_critical></module>",
            "<type>generic_proc</type><data>0</data>",
            "<type>keep_alive</type><data>1</data>",
        ] {
            assert!(xml.contains(expected), "{expected} in {xml}");
        }
        assert!(!xml.contains("async"), "the console takes those for normal when they stay away");
    }

    #[test]
    fn names_that_others_write_break_out_of_nothing_and_are_cut() {
        let hostile = "a'><module>&\"\u{1b}\u{0}\n]]>é";
        let xml = file(hostile, vec![module(hostile, Value::Number(0), Thresholds::None)]).to_xml();
        let escaped = "a&apos;&gt;&lt;module&gt;&amp;&quot;???]]&gt;é";
        assert!(xml.contains(&format!("agent_name='{escaped}'")), "{xml}");
        assert!(xml.contains(&format!("<name>{escaped}</name>")), "{xml}");
        let long = file(&"<".repeat(10_000), Vec::new()).to_xml();
        assert!(long.len() < 2000 && long.contains("&lt;…'"), "{long}");
    }

    #[test]
    fn a_files_name_is_one_that_data_servers_take_whatever_the_agents() {
        let name = |agent: &str| file(agent, Vec::new()).name(1_700_000_000).unwrap().to_string();
        let plain = name("tentacle-sync");
        assert!(plain.starts_with("tentacle-sync-") && plain.ends_with(".1700000000.data"), "{plain}");
        for agent in ["a/b", "Bär", "..", "a;rm *", &"x".repeat(10_000)] {
            let name = name(agent);
            assert!(name.is_ascii() && name.len() < 80 && !name.contains('/'), "{name}");
        }
        assert_ne!(name("a/b"), name("a?b"));
    }
}
