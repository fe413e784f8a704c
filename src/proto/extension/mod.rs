//! What our client and our server say to each other beyond stock's commands: the extension, version 1.
//!
//! Stock's protocol costs two round trips a file and command, and carries each file twice. The extension costs bandwidth
//! alone, carries each file once, and ends in a certain answer. It is spoken on the same connection, in plain TCP and TLS
//! alike, and is asked for in a way that stock refuses and survives.
//!
//! # Grammar
//! In the notation of RFC 5234, with `LF` for the one byte 10. Numbers are decimal.
//! ```text
//! question  = "RECV <?caps>" LF
//! answer    = "CAPS 1" *( SP word ) LF
//! word      = "PIPELINE" / "GET" / "LIST" / "DROP" / "PUT" / "BLAKE3" / "DEFLATE" / "TIME=" time / 1*VCHAR
//!
//! get       = "GET " name LF
//! file      = "GET SIZE " size " MTIME " mtime LF  size OCTET
//!
//! list      = "LIST <" text ">" [ " AFTER " mtime " <" text ">" ] [ " LIMIT " count ] LF
//! page      = "LIST SIZE " size ( " END" / " MORE " files SP bytes ) LF  size OCTET
//! body      = *( size SP mtime SP text LF )           ; of a page
//!
//! drop      = "DROP " name " SIZE " size " BLAKE3 " hash LF
//! dropped   = "DROP OK" LF
//!
//! put       = "PUT " name " SIZE " size [ " IF ABSENT" / " IF BLAKE3 " hash ] LF  size OCTET
//! stored    = "PUT OK" LF
//!
//! deflate   = "DEFLATE" LF
//! deflated  = "DEFLATE OK" LF                         ; everything behind it is compressed, in both directions
//!
//! refused   = verb " ERR (" reason ")" LF             ; verb = "GET" / "LIST" / "DROP" / "PUT" / "DEFLATE"
//!
//! name      = "<" text ">"                            ; 1 to 255 bytes; a file's: not "." or ".."
//! text      = bytes without control characters and ? [ ] / \ = + < > : ; ' , * ~
//! size      = 1*DIGIT                                 ; bytes, at most 2^63 - 1
//! mtime     = time
//! time      = 1*DIGIT                                 ; nanoseconds since 1970-01-01 00:00 UTC, at most 2^63 - 1
//! count     = 1*DIGIT                                 ; so are files and bytes
//! hash      = 64HEXDIG                                ; lower case
//! ```
//! A line has at most 1,024 bytes, its `LF` included. A line that is none of these, nor of stock's, ends the session
//! without a word, as by stock.
//!
//! # Whether it is spoken
//! The client sends the question where any command may stand: first, or after `PASS OK`. `?` is in no name, so stock
//! answers `RECV ERR (file has an invalid file name)`, and its session goes on; so does our server where its user has turned
//! the extension off. Seen at stock 0.6.2 and at its successor of 2026, plain and TLS, with and without a password. A relay
//! or a proxy passes bytes on and sees none of it; the answer is that of the server behind it.
//!
//! The first word after `CAPS` is the version. A client that does not know it does without the extension. Words that it does
//! not know it ignores: a later server may have more to offer. A command may be sent if its word is there:
//! - `PIPELINE`: what stands under [Order](#order).
//! - `GET`, `LIST`, `DROP`, `PUT`: the commands.
//! - `BLAKE3`: the hash that `DROP` and `IF` are given. Another may come beside it, under its own name.
//! - `DEFLATE`: the command. It is of use to no client that does not ask for it: nothing is compressed by itself.
//!
//! `TIME=` is no command: it is what the server's clock shows when it answers, and comes once at the most. A client that knows
//! when it has asked, and when it was answered, by its own clock, knows how far the two are apart, as exactly as half of that
//! time. A server whose clock cannot be read, or is before 1970, leaves it out.
//!
//! What a server does not let anybody do is no word: `LIST` and `DROP` are missing where `LS` and `MV` are no commands
//! (without `-I`), `DEFLATE` where its user has turned compression off, and once the connection is compressed. What it does not let *this* client do is refused when it is asked.
//!
//! A client may remember a server's answer from one connection to the next and send its first commands behind `PASS` and the
//! question, without waiting. A server that has become stock since then answers the question with its `RECV ERR`, or not at
//! all, and closes; none of the commands behind it is stock's, so nothing is done. The client then forgets what it
//! remembers, connects anew and waits for the answer. (`DEFLATE` is no such command: it waits, as [below](#deflate).)
//!
//! # Order
//! Commands of the extension may be sent ahead: the next one before the last one is answered. Answers come in the commands'
//! order. A refusal answers its own command, and the session goes on. `QUIT` may stand behind them: what stands before it
//! is answered before the connection ends. The end of the client's direction ends the session: what has not been answered
//! by then may have been done or not.
//!
//! Stock's commands keep stock's order: the client sends one only where nothing is due, and nothing behind it before its
//! exchange is over, for its next line is the answer to an announced size.
//!
//! A server takes commands no faster than it answers. A client that sends ahead must read what comes meanwhile, or both
//! wait. The window is the client's: it knows sizes from `LIST`, and asks for no more than it can take.
//!
//! # GET
//! The body follows the answer at once; the client has no say in between. Size and mtime are those of the file that was
//! opened; the bytes are that file's, also if another takes its name meanwhile. A file that becomes shorter meanwhile ends
//! the connection. An empty file is sound.
//!
//! # LIST
//! What the word leads to, as with `LS`; but files alone, with size and mtime, the oldest first: in the order of mtime, then
//! of the name's bytes. A name stands last on its line, as it may hold blanks. `AFTER` begins behind a file, be it still
//! there or not; without it, the list begins, and what is listed is what is there then. `LIMIT` is how many files a page may
//! have; the server may give fewer, at least 1 where there is one, and ours gives at most 32,768. `MORE` says how many files follow the page and how
//! many bytes they have; `END` that none does.
//!
//! So the first page says how much waits and how old the oldest is. Pages of one list on one connection come out of one
//! look at the directory; a file that comes meanwhile may be missing, and one that goes may be listed (`GET` says so). What
//! was answered `DROP OK` before the list began is not listed. A mark, by which a collector finds its own
//! incoming directory, stands at the beginning, with mtime 0; its name may not be asked for.
//!
//! # DROP
//! The server removes the file of that name if it holds exactly those bytes. `DROP OK` says that it is gone, durably where
//! the server is durable: no loss of power brings it back. Where what it has sent with `GET` on this connection still has
//! its name, and its state (device, inode, size, mtime, ctime) is the same and is older than the kernel's clock is coarse,
//! those are the bytes, and none is read. Else, and always after another connection, size and hash are compared.
//!
//! A client drops what it has durably. The file's bytes have crossed the line once.
//!
//! # PUT
//! The body follows the command at once; a refusal comes after it, and what was not wanted is read past. `PUT OK` says that
//! the file is durable under its name, as `SEND` does. `IF ABSENT`: only if there is nothing of that name. `IF BLAKE3`:
//! only in place of a file with that hash. Without either it may replace a file where `SEND` may. It may never where `SEND`
//! may not (without `-o`). A body is of 1 byte at least, as with `SEND`.
//!
//! # DEFLATE
//! As with `COMPRESS` of IMAP (RFC 4978) and NNTP (RFC 8054). From `DEFLATE OK` on each direction is one raw deflate stream
//! (RFC 1951, no header and no checksum around it) for as long as the connection lasts. The client's stream begins with the
//! byte behind the `LF` of its `DEFLATE`, the server's with the byte behind the `LF` of its `DEFLATE OK`; under TLS, inside
//! it. What is compressed are the lines and bodies of this protocol, as they are without.
//!
//! The client sends the command where nothing is due, and nothing behind it before it is answered: on `OK` its stream
//! begins, and a refusal leaves the session as it was. A server that has not answered yet reads no further. It answers what
//! it owes before the command first.
//!
//! Whoever would wait for the other side, for a disk or for anything else, flushes what it has written (what zlib calls
//! `Z_SYNC_FLUSH`: the receiver gets every byte written before it). Not after each line or file: what is flushed together
//! shrinks together. Both sides may refer back 32 KiB, over all files, and need not. A stream has no last block
//! (`BFINAL`); the end is the connection's, and announced as without compression.
//!
//! A receiver that gets what is no such stream, or a last block, ends the connection. However far a stream unfolds, it takes
//! no more of it than it has room for, and every limit of this protocol holds for what comes out.
//!
//! Who shares a line with a secret may not want to be compressed with it, also inside TLS: what is sent is then as long as
//! what it repeats allows, which shows to whoever sees the lengths (CRIME, RFC 7457). So it is the client's user who asks for
//! it, and the server's who may refuse it.
//!
//! # Refusals
//! | reason | of | |
//! |---|---|---|
//! | `not allowed` | all | the server's rules; of DEFLATE, that its user does not want it, or that it is in force already |
//! | `invalid file name` | all | a character or a length that no name has |
//! | `file does not exist` | GET, LIST, DROP, PUT | nothing of that name, or no such directory; what is to be replaced is missing |
//! | `file cannot be read` | GET, LIST | the disk failed |
//! | `file has changed` | DROP, PUT | other bytes than those of the hash; they stay |
//! | `file cannot be removed` | DROP | the disk failed, and the file may be there or not |
//! | `file is too big` | PUT | over the limit (`-m`), or empty |
//! | `file already exists` | PUT | `IF ABSENT`, or no right to replace |
//! | `no room for the file` | PUT | the quota, or the disk |
//! | `no room for compression` | DEFLATE | as many connections are compressed as the server has memory for |
//! | `file cannot be stored` | PUT | the disk failed |
//!
//! A client takes any other reason for a refusal as well.
//!
//! # Rights and limits
//! `GET` needs what `RECV` needs, `LIST` what `LS`, `DROP` what `MV`, `PUT` what `SEND`. Timeouts, rates and the largest body
//! are those of stock's commands. The server holds the answers to at most 1,024 `DROP`s at a time, and reads no further
//! command before.
//!
//! # Why BLAKE3
//! Figures of one core with AVX-512 and SHA-NI, others at work beside it, in GB/s; and without either, where SHA-256 is a
//! C-like implementation and BLAKE3 has SSE2:
//!
//! | | 1,500 bytes | 4 KiB | 1 MiB | 1,500 bytes, without | 1 MiB, without |
//! |---|---|---|---|---|---|
//! | MD5 | 0.4 | 0.4 | 0.3 | 0.4 | 0.3 |
//! | SHA-256 | 0.9 | 0.9 | 0.9 | 0.1 | 0.2 |
//! | BLAKE3 | 0.6 | 1.7 | 4.2 | 0.4 | 0.8 |
//!
//! SHA-256 is a little ahead for the smallest files where the processor has instructions for it (1.7 µs against 2.3 µs),
//! and 3.6 times behind where not, as in many a site's machine. MD5 is nowhere better, and can be forged: who can write at
//! a site could have one file deleted for another.

mod capabilities;
mod command;
mod content_hash;
mod deflate;
mod page;
mod pipelined_client;
mod reply;

pub use capabilities::{Capabilities, Capability};
pub use command::{Condition, Cursor, ExtensionCommand, ExtensionError};
pub use content_hash::{ContentHash, ContentHasher};
pub use deflate::{Deflater, History, InflateError, Inflater};
pub use page::{Entry, Page, PageError, PageParser};
pub use pipelined_client::{PipelinedClient, PipelinedEvent};
pub use reply::{ExtensionReply, Remaining};

/// The most files of a page that our server gives.
pub const MAX_PAGE: usize = 32_768;
