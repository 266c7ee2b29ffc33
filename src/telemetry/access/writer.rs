//! The thread that writes lines about calls.

use std::fs::File;
use std::io::{self, Stderr, Stdout, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;

use super::{AccessLogPlace, Batch, Told};
use crate::telemetry::metrics::{AccessLogMetrics, AccessLogResult};

/// Writes lines about calls, batch by batch. To be run on a thread of its own: it waits for lines, and for the place that
/// they go to.
pub struct AccessWriter {
    place: Place,
    batches: mpsc::Receiver<Batch>,
    told: Arc<Told>,
    metrics: AccessLogMetrics,
    /// The last batch was not written, or not wholly.
    is_failing: bool,
}

/// Where lines go.
pub(super) enum Place {
    Stdout(Stdout),
    Stderr(Stderr),
    File(File, PathBuf),
}

impl Place {
    /// Opens it; nothing when there is none.
    pub(super) fn open(place: &AccessLogPlace) -> io::Result<Option<Self>> {
        Ok(match place {
            AccessLogPlace::Off => None,
            AccessLogPlace::Stdout => Some(Self::Stdout(io::stdout())),
            AccessLogPlace::Stderr => Some(Self::Stderr(io::stderr())),
            AccessLogPlace::File(path) => Some(Self::File(append(path)?, path.clone())),
        })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => {
                let mut stdout = stdout.lock();
                stdout.write_all(bytes)?;
                stdout.flush()
            }
            Self::Stderr(stderr) => stderr.lock().write_all(bytes),
            Self::File(file, _) => file.write_all(bytes),
        }
    }
}

/// The end of a file, which is made if need be: for us and our group, for it says who called what.
fn append(path: &Path) -> io::Result<File> {
    File::options()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
}

impl AccessWriter {
    pub(super) const fn new(
        place: Place,
        batches: mpsc::Receiver<Batch>,
        told: Arc<Told>,
        metrics: AccessLogMetrics,
    ) -> Self {
        Self {
            place,
            batches,
            told,
            metrics,
            is_failing: false,
        }
    }

    /// Writes until it is told to end, and then what it was given before.
    pub fn run(mut self) {
        while let Some(batch) = self.batches.blocking_recv() {
            self.write(&batch);
            if self.told.reopen.swap(false, Ordering::AcqRel) {
                self.reopen();
            }
            if self.told.finish.load(Ordering::Acquire) {
                break;
            }
        }
        while let Ok(batch) = self.batches.try_recv() {
            self.write(&batch);
        }
    }

    fn write(&mut self, batch: &Batch) {
        if batch.lines == 0 {
            return;
        }
        let begun = if self.is_failing && matches!(self.place, Place::File(..)) {
            // What stands there may be a part of a line.
            self.place.write(b"\n")
        } else {
            Ok(())
        };
        match begun.and_then(|()| self.place.write(&batch.bytes)) {
            Ok(()) => {
                self.metrics.told(AccessLogResult::Written, batch.lines);
                if self.is_failing {
                    tracing::info!("the access log is written again");
                }
                self.is_failing = false;
            }
            Err(error) => {
                self.metrics.told(AccessLogResult::Failed, batch.lines);
                if !self.is_failing {
                    tracing::warn!(%error, "the access log cannot be written; its lines are lost");
                }
                self.is_failing = true;
            }
        }
    }

    fn reopen(&mut self) {
        let Place::File(file, path) = &mut self.place else {
            return;
        };
        match append(path) {
            Ok(new) => *file = new,
            Err(error) => {
                let path = path.display();
                tracing::warn!(%path, %error, "the access log cannot be opened anew; the old file is written on");
            }
        }
    }
}
