//! Configuration: our TOML, an existing `pandora_server.conf`, and the command line, read into plain values.

mod address;
pub mod client;
mod cut_off;
pub mod defaults;
mod error;
mod export;
#[cfg(any(test, feature = "fuzzing"))]
mod fuzz;
mod getopts;
mod http_settings;
mod include;
mod keys;
mod load;
mod nearest;
mod pandora_conf;
mod pin;
mod proxy;
pub mod server;
mod settings;
mod site_list;
mod source;
mod toml_conf;
mod units;
mod words;

pub use cut_off::{CutOff, StillWritten, read_when_written, refuse_cut_off};
pub use error::{ConfigError, Problem};
pub use export::to_toml;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub use fuzz::{fuzz_pandora_conf, fuzz_toml_conf};
pub use http_settings::HttpSettings;
pub use load::{
    DEFAULT_PATHS, LoadOptions, default_path, default_state_dir, files_of, load, load_daemon_paths, load_data_server,
};
pub use pandora_conf::DataServerConf;
pub(crate) use proxy::proxy;
pub use settings::{DaemonPaths, MonitorSettings, ProxySettings, ReadFile, Settings, SiteSettings, incoming_dirs};
pub use site_list::{SiteList, read_site_list};
pub use source::{Env, FileText, SecretFile, SecretPurpose, UnreadSecret};
