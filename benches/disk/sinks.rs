//! What each sink costs the loop.

use std::sync::Arc;
use std::time::Duration;

use tentacle_sync::store::{ClosedHashedTemp, SinkKind, Spool};

use super::filesystem::Filesystem;
use super::publisher::SIZE;
use crate::support::{Result, clock, is_smoke, median};

const LARGE: usize = 64 * 1024 * 1024;

/// What comes out of one TLS record, and what the loop gathers before it writes.
const PIECES: [usize; 2] = [16 * 1024, 256 * 1024];

/// Staging alone, nothing flushed.
pub(crate) fn compare(filesystem: &Filesystem) -> Result<()> {
    let (small, large, runs) = if is_smoke() { (64, 1, 1) } else { (2_048, 8, 3) };
    println!("\n{:<30} {:>14} {:>14} {:>16}", "sinks: stage and remove", "append", "mapped", "mapped / append");
    for (count, size, piece) in [(small, SIZE, SIZE), (large, LARGE, PIECES[0]), (large, LARGE, PIECES[1])] {
        let mut took = [Vec::new(), Vec::new()];
        for _ in 0..runs {
            for (kind, took) in [SinkKind::Append, SinkKind::Mapped].into_iter().zip(&mut took) {
                took.push(staging(kind, count, size, piece, filesystem)?.as_secs_f64());
            }
        }
        let ratio = median(took[0].iter().zip(&took[1]).map(|(append, mapped)| mapped / append));
        let [append, mapped] = took.map(median);
        let what = format!("{} KiB in pieces of {} KiB", size / 1024, piece / 1024);
        println!("{what:<30} {:>14} {:>14} {ratio:>15.2}x", rate(count, size, append), rate(count, size, mapped));
    }
    Ok(())
}

fn staging(kind: SinkKind, count: usize, size: usize, piece: usize, filesystem: &Filesystem) -> Result<Duration> {
    let dir = tempfile::tempdir_in(filesystem.dir())?;
    let spool = Spool::open_with(dir.path(), Arc::new(kind))?;
    let bytes = vec![b'x'; piece];
    filesystem.sync()?;
    let start = clock();
    for _ in 0..count {
        drop(stage(&spool, size, &bytes)?);
    }
    Ok(start.elapsed())
}

fn stage(spool: &Spool, size: usize, bytes: &[u8]) -> Result<ClosedHashedTemp> {
    let mut stage = spool.stage(size as u64)?;
    (0..size / bytes.len()).try_for_each(|_| stage.write(bytes))?;
    Ok(stage.finish()?)
}

#[expect(clippy::cast_precision_loss, reason = "a rate is read to three digits")]
fn rate(count: usize, size: usize, seconds: f64) -> String {
    if size == SIZE {
        format!("{:.1} us/file", 1e6 * seconds / count as f64)
    } else {
        format!("{:.0} MiB/s", (count * size) as f64 / seconds / f64::from(1 << 20))
    }
}
