//! The way of lines about calls: from the threads that serve calls, by way of memory that is bounded, to one thread that
//! writes them. Whoever serves a call never waits for it.

mod config;
mod writer;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;

pub use config::{AccessLogConfig, AccessLogPlace, Sample};
pub use writer::AccessWriter;

use super::metrics::{AccessLogMetrics, AccessLogResult};

/// So many bytes are handed over at once: few wake-ups for a busy worker, little memory for a quiet one.
const BATCH_BYTES: usize = 32 * 1024;
/// So much a worker keeps while the writer takes nothing; what comes then is lost, and counted.
const MOST_HELD_BYTES: usize = 64 * 1024;
/// So many batches wait for the writer: 2 MiB in the process.
const BATCHES: usize = 64;
/// So long a line waits for others at most.
const DELAY: Duration = Duration::from_millis(100);

/// Where every worker's lines go. Copies lead to one place.
#[derive(Clone)]
pub struct AccessSink {
    batches: mpsc::Sender<Batch>,
    told: Arc<Told>,
    metrics: AccessLogMetrics,
}

/// What the writer is told beside lines.
#[derive(Default)]
struct Told {
    /// The file is to be opened anew.
    reopen: AtomicBool,
    /// Nobody writes any more.
    finish: AtomicBool,
}

/// Whole lines, on their way to the writer. One without lines only makes it look up.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    lines: u64,
}

/// The lines of one worker that were not handed over yet.
pub struct AccessLines {
    held: RefCell<Batch>,
    /// There was no line, and now there is one.
    begun: Notify,
    sink: AccessSink,
}

/// Opens the place that the settings name; nothing when that is none.
///
/// # Errors
///
/// When it is a file that cannot be opened.
pub fn open(
    config: &AccessLogConfig,
    metrics: AccessLogMetrics,
) -> io::Result<Option<(AccessSink, AccessWriter)>> {
    let Some(place) = writer::Place::open(&config.to)? else {
        return Ok(None);
    };
    let (sender, receiver) = mpsc::channel(BATCHES);
    let sink = AccessSink {
        batches: sender,
        told: Arc::default(),
        metrics: metrics.clone(),
    };
    let writer = AccessWriter::new(place, receiver, Arc::clone(&sink.told), metrics);
    Ok(Some((sink, writer)))
}

impl AccessSink {
    /// A worker's way to it.
    #[must_use]
    pub fn lines(&self) -> AccessLines {
        AccessLines {
            held: RefCell::default(),
            begun: Notify::new(),
            sink: self.clone(),
        }
    }

    /// Has the file opened anew: it may have been renamed.
    pub fn reopen(&self) {
        self.told.reopen.store(true, Ordering::Release);
        self.look_up();
    }

    /// Has the writer write what it was given, and end.
    pub fn finish(&self) {
        self.told.finish.store(true, Ordering::Release);
        self.look_up();
    }

    fn look_up(&self) {
        // Where there is no room the writer has something to do, and looks up after it.
        let _ = self.batches.try_send(Batch::default());
    }
}

impl AccessLines {
    /// Adds the line that `write` writes, without its end.
    ///
    /// Never waits. While the writer takes nothing and enough is held, the line is not written, and counted.
    pub fn add(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let held = &mut *self.held.borrow_mut();
        if held.bytes.len() >= MOST_HELD_BYTES && !self.hand_over_all(held) {
            self.sink.metrics.told(AccessLogResult::NoRoom, 1);
            return;
        }
        if held.lines == 0 {
            self.begun.notify_one();
        }
        write(&mut held.bytes);
        held.bytes.push(b'\n');
        held.lines += 1;
        if held.bytes.len() >= BATCH_BYTES {
            self.hand_over_all(held);
        }
    }

    /// Counts lines that were not written because there were too many of their kind.
    pub fn left_out(&self, lines: u64) {
        self.sink.metrics.told(AccessLogResult::LeftOut, lines);
    }

    /// Hands over what is held; `false` when there is no room for it.
    pub fn hand_over(&self) -> bool {
        self.hand_over_all(&mut self.held.borrow_mut())
    }

    fn hand_over_all(&self, held: &mut Batch) -> bool {
        if held.lines == 0 {
            return true;
        }
        match self.sink.batches.try_reserve() {
            Err(_) => false,
            Ok(place) => {
                place.send(std::mem::take(held));
                true
            }
        }
    }

    /// Hands over the lines of a worker that has too few to do so by itself, for as long as it is polled.
    pub async fn hand_over_in_time(self: Rc<Self>) {
        loop {
            self.begun.notified().await;
            sleep(DELAY).await;
            while !self.hand_over() {
                sleep(DELAY).await;
            }
        }
    }
}

impl Drop for AccessLines {
    fn drop(&mut self) {
        if !self.hand_over() {
            let lost = self.held.borrow().lines;
            self.sink.metrics.told(AccessLogResult::NoRoom, lost);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::{Renderer, install};
    use super::*;

    fn begin(to: AccessLogPlace) -> (AccessSink, AccessWriter, Renderer) {
        let (metrics, renderer) = install();
        let config = AccessLogConfig {
            to,
            ..AccessLogConfig::default()
        };
        let opened = open(&config, metrics.access_log).expect("the directory is ours");
        let (sink, writer) = opened.expect("a place");
        (sink, writer, renderer)
    }

    fn counted(renderer: &Renderer, result: AccessLogResult) -> u64 {
        let series = format!(
            "keyward_access_log_lines_total{{result=\"{}\"}} ",
            result.as_str()
        );
        let text = renderer.render();
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(&series));
        value.expect("a series").parse().expect("a number")
    }

    fn add(lines: &AccessLines, text: &str) {
        lines.add(|line| line.extend_from_slice(text.as_bytes()));
    }

    #[test]
    fn lines_of_two_workers_are_written_whole_and_counted() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("access.log");
        let (sink, writer, renderer) = begin(AccessLogPlace::File(file.clone()));
        let writing = std::thread::spawn(|| writer.run());
        let adding = [b'a', b'b'].map(|letter| {
            let sink = sink.clone();
            std::thread::spawn(move || {
                let lines = sink.lines();
                let text = String::from_utf8(vec![letter; 999]).unwrap();
                for _ in 0..500 {
                    add(&lines, &text);
                    // Where there is no room yet, it is tried again: nothing is lost here.
                    while !lines.hand_over() {
                        std::thread::yield_now();
                    }
                }
            })
        });
        for thread in adding {
            thread.join().unwrap();
        }
        sink.finish();
        writing.join().unwrap();
        let text = fs::read_to_string(&file).unwrap();
        assert_eq!(text.lines().count(), 1000);
        for line in text.lines() {
            let first = line.chars().next().unwrap();
            assert!(line.len() == 999 && line.chars().all(|letter| letter == first));
        }
        assert_eq!(counted(&renderer, AccessLogResult::Written), 1000);
    }

    #[test]
    fn while_nobody_writes_what_is_held_is_bounded_and_the_rest_is_counted() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("access.log");
        let (sink, writer, renderer) = begin(AccessLogPlace::File(file.clone()));
        let lines = sink.lines();
        let text = "x".repeat(1023);
        let all = 10_000;
        for _ in 0..all {
            add(&lines, &text);
        }
        let lost = counted(&renderer, AccessLogResult::NoRoom);
        // Each batch is a line longer than it must be at most.
        let most = (BATCHES * (BATCH_BYTES + 1024) + MOST_HELD_BYTES + 1024) / 1024;
        let most = u64::try_from(most).unwrap();
        assert!(all - lost <= most, "{lost} of {all} are too few");
        assert!(all - lost > 2000, "{lost} of {all} are too many");
        // What was held is not lost.
        let writing = std::thread::spawn(|| writer.run());
        while !lines.hand_over() {
            std::thread::yield_now();
        }
        drop(lines);
        sink.finish();
        writing.join().unwrap();
        let written = fs::read_to_string(&file).unwrap().lines().count();
        assert_eq!(u64::try_from(written).unwrap(), all - lost);
    }

    #[test]
    fn a_file_that_was_renamed_is_left_and_a_new_one_begun_without_losing_a_line() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("access.log");
        let old = directory.path().join("access.log.1");
        let (sink, writer, _renderer) = begin(AccessLogPlace::File(file.clone()));
        let writing = std::thread::spawn(|| writer.run());
        let lines = sink.lines();
        add(&lines, "first");
        assert!(lines.hand_over());
        while fs::read(&file).unwrap() != b"first\n" {
            std::thread::yield_now();
        }
        fs::rename(&file, &old).unwrap();
        sink.reopen();
        while !file.exists() {
            std::thread::yield_now();
        }
        add(&lines, "second");
        drop(lines);
        sink.finish();
        writing.join().unwrap();
        assert_eq!(fs::read(&old).unwrap(), b"first\n");
        assert_eq!(fs::read(&file).unwrap(), b"second\n");
    }

    #[test]
    fn a_place_that_takes_nothing_is_counted_and_does_not_end_the_writer() {
        let full = std::path::Path::new("/dev/full");
        let (sink, writer, renderer) = begin(AccessLogPlace::File(full.to_owned()));
        let writing = std::thread::spawn(|| writer.run());
        for _ in 0..3 {
            let lines = sink.lines();
            add(&lines, "lost");
        }
        sink.finish();
        writing.join().unwrap();
        assert_eq!(counted(&renderer, AccessLogResult::Failed), 3);
        assert_eq!(counted(&renderer, AccessLogResult::Written), 0);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_told_at_once() {
        let config = AccessLogConfig {
            to: AccessLogPlace::File("/nowhere/at/all".into()),
            ..AccessLogConfig::default()
        };
        let (metrics, _) = install();
        assert!(open(&config, metrics.access_log).is_err());
    }
}
