//! The storage directory, and what clients may do to it.

use super::super::super::words::DURABILITIES;
use super::super::error::Diagnostics;
use super::super::key::Key;
use super::super::raw_option::RawOption;
use super::super::reader::{self, Reader};
use super::super::rules::Rule;
use super::super::settings::{Quota, ServerTls, StoreSettings, UnzipLimits};
use super::super::{Filters, Rules, defaults};
use super::password;
use crate::proto::quoted;

/// Above this a ratio is no limit.
const HIGHEST_RATIO: u64 = 1_000_000;

/// `None`, and an error, if there is no usable directory.
pub(super) fn read(reader: &mut Reader<'_>, tls: Option<&ServerTls>) -> Option<StoreSettings> {
    let upstream = Key::all().filter(|(name, key)| name.starts_with("upstream_") || *key == Key::ProxyPort);
    for (_, key) in upstream {
        if let Some(said) = reader.find(key) {
            reader.warn(&said, "has no effect without proxy_ip (-b)");
        }
    }
    let filters = filters(reader);
    let insecure = reader.switch(Key::Insecure);
    let [extension, compression] =
        [Key::Extension, Key::Compression].map(|key| reader.find(key).is_none() || reader.switch(key));
    let rules = rules(reader, &Context { filters: &filters, insecure, tls });
    let max_size = reader.read(Key::MaxSize, reader::size(1)).unwrap_or(defaults::MAX_SIZE);
    let overwrite = reader.switch(Key::Overwrite);
    let password = password(reader, Key::Password);
    let durability = reader.read(Key::Durability, reader::choice(&DURABILITIES)).unwrap_or_default();
    let quota = Quota {
        max_bytes: reader.read(Key::MaxSpoolBytes, reader::size(0)).unwrap_or_default(),
        max_files: reader.read(Key::MaxSpoolFiles, reader::whole(0..=u64::MAX)).unwrap_or_default(),
        min_free: reader.read(Key::MinFree, reader::size(0)).unwrap_or_default(),
    };
    let unzip = UnzipLimits {
        ratio: reader.read(Key::UnzipRatio, reader::whole(1..=HIGHEST_RATIO)).unwrap_or(defaults::UNZIP_RATIO),
        max_bytes: reader.read(Key::UnzipMax, reader::size(1)).unwrap_or(defaults::UNZIP_MAX.max(max_size)),
    };
    let directory = reader.path(Key::Directory)?;
    Some(StoreSettings {
        directory,
        filters,
        overwrite,
        insecure,
        extension,
        compression,
        rules,
        password,
        max_size,
        durability,
        quota,
        unzip,
    })
}

fn filters(reader: &mut Reader<'_>) -> Filters {
    let Some(said) = reader.find(Key::Filters) else { return Filters::default() };
    match Filters::parse(said.value()) {
        Ok((filters, warnings)) => {
            for warning in &warnings {
                reader.warn(&said, warning);
            }
            filters
        }
        Err(error) => {
            reader.error(&said, &error.to_string());
            Filters::default()
        }
    }
}

/// What rules are checked against.
struct Context<'a> {
    filters: &'a Filters,
    insecure: bool,
    tls: Option<&'a ServerTls>,
}

fn rules(reader: &mut Reader<'_>, context: &Context<'_>) -> Rules {
    let lines = reader.said.iter().filter(|said| said.key == Key::Allow);
    Rules::new(lines.filter_map(|said| rule(said, context, reader.findings)).collect())
}

fn rule(said: &RawOption, context: &Context<'_>, findings: &mut Diagnostics) -> Option<Rule> {
    let about = said.about();
    let parsed = match std::str::from_utf8(said.value()) {
        Ok(text) => text.parse::<Rule>().map_err(|error| error.to_string()),
        Err(_) => Err("expected UTF-8".to_owned()),
    };
    let rule = match parsed {
        Ok(rule) => rule,
        Err(reason) => {
            findings.error(&said.place, format!("{about}{reason}"));
            return None;
        }
    };
    for directory in rule.directories() {
        if !context.filters.directories().any(|known| known == directory) {
            let directory = quoted(directory);
            findings.warn(&said.place, format!("{about}no filter leads to {directory}, so it allows nothing there"));
        }
    }
    if rule.names_what_needs_insecure() && !context.insecure {
        findings.warn(&said.place, format!("{about}ls and mv need insecure 1 (-I) as well"));
    }
    if rule.wants_verified_certificate() && context.tls.is_none_or(|tls| tls.client_ca.is_none()) {
        let needed = "ssl_cert (-e) and ssl_ca (-f) too, or no client's certificate is verified";
        findings.error(&said.place, format!("{about}cert needs {needed}"));
    } else if rule.looks_at_certificates() && context.tls.is_none() {
        let needed = "ssl_cert (-e) too, or there is no TLS and no client shows a certificate";
        findings.error(&said.place, format!("{about}pin needs {needed}"));
    }
    Some(rule)
}
