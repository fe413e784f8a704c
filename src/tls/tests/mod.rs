//! The shapes of certificates people have, and their unsound neighbours; our own identity; PEM files; the pipe; the
//! server's side.

mod accepting;
mod alerts;
mod files;
mod own_certificate;
mod peer_certificate;
mod shapes;
mod stream;
mod v1_reader;
