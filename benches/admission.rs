//! The number that matters: what a request costs from its route to its permit, without a network.
//!
//! find → read → grant → model → permit → touch, of it the verification alone (digest → grant → permit → touch), at 1 k, 100 k
//! and 1 M keys, and the bytes that each key takes.
//! Run with `cargo bench --bench admission`.

mod support;

use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use keyward::server::{Guard, HeadLimits};
use support::{Admission, Draw};

/// Before a number of keys: the argument of a child process that only measures their memory.
const MEASURE: &str = "--bytes-of";
const SIZES: [u32; 3] = [1_000, 100_000, 1_000_000];

fn main() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(MEASURE) {
        let keys = arguments.next().and_then(|keys| keys.parse().ok());
        return support::print_bytes_per_key(keys.expect("a number of keys"));
    }
    let mut criterion = Criterion::default().without_plots().configure_from_args();
    let mut group = criterion.benchmark_group("admission");
    group.throughput(Throughput::Elements(1));
    for keys in SIZES {
        let admission = Admission::with_keys(keys);
        for draw in [Draw::Hot, Draw::Zipf, Draw::Uniform] {
            let mut requests = admission.requests(draw);
            group.bench_function(BenchmarkId::new(draw.name(), keys), |bencher| {
                bencher.iter(|| admission.admit(black_box(requests.next())));
            });
            let presented = requests.all().map(|request| admission.presented(request));
            let presented = presented.collect::<Vec<_>>();
            let mut each = presented.iter().cycle();
            let name = format!("digest to permit, {}", draw.name());
            group.bench_function(BenchmarkId::new(name, keys), |bencher| {
                bencher.iter(|| {
                    each.next()
                        .map(|key| admission.verify_llama(black_box(*key)))
                });
            });
            let times = admission.verifications(&presented);
            tell_percentiles(&format!("digest to permit, {}/{keys}", draw.name()), &times);
        }
        let mut requests = admission.requests(Draw::Zipf);
        let times = timed(|| admission.admit(black_box(requests.next())));
        tell_percentiles(&format!("zipf/{keys}"), &times);
    }
    group.finish();
    refusals(&mut criterion);
    framing(&mut criterion);
    criterion.final_summary();
    for keys in SIZES {
        let child = std::env::current_exe().expect("this program has a path");
        let status = Command::new(child)
            .args([MEASURE, &keys.to_string()])
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "the child failed"
        );
    }
}

/// What the guard costs before hyper: a head of some 400 bytes, and bodies, which are counted past.
fn framing(criterion: &mut Criterion) {
    let head = support::usual_head();
    let counted = format!(
        "{head}content-length: 16384\r\n\r\n{}",
        "x".repeat(16 * 1024)
    );
    let chunk = format!("400\r\n{}\r\n", "x".repeat(1024));
    let chunked = format!(
        "{head}transfer-encoding: chunked\r\n\r\n{}0\r\n\r\n",
        chunk.repeat(16)
    );
    let mut group = criterion.benchmark_group("framing");
    for (name, bytes) in [
        ("head", format!("{head}\r\n")),
        ("16 KiB counted", counted),
        ("16 KiB in 16 chunks", chunked),
    ] {
        let limits = HeadLimits {
            bytes: 32 * 1024,
            fields: 100,
        };
        let mut guard = Guard::new(limits);
        group.bench_function(name, |bencher| {
            bencher.iter(|| guard.scan(black_box(bytes.as_bytes())));
        });
        assert!(guard.refused().is_none());
    }
    group.finish();
}

fn refusals(criterion: &mut Criterion) {
    let admission = Admission::with_keys(1_000);
    let mut group = criterion.benchmark_group("refusal");
    let malformed = support::request("kw_AAAAAAAA.BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBCCCCCC");
    group.bench_function("malformed", |bencher| {
        bencher.iter(|| admission.refuse(black_box(&malformed)));
    });
    group.finish();
}

/// Each call timed by itself: what a mean hides. The clock's own cost is in every figure. In order.
fn timed<T>(mut call: impl FnMut() -> T) -> Vec<Duration> {
    let time = || {
        let began = Instant::now();
        black_box(call());
        began.elapsed()
    };
    let mut times: Vec<Duration> = std::iter::repeat_with(time).take(200_000).collect();
    times.sort_unstable();
    times
}

fn tell_percentiles(name: &str, times: &[Duration]) {
    let at = |share: usize| times[times.len() * share / 1000].as_nanos();
    tell(&format!(
        "admission/{name}: p50 {} ns, p99 {} ns, p99.9 {} ns (each with two clock readings)",
        at(500),
        at(990),
        at(999)
    ));
}

#[expect(clippy::print_stdout, reason = "a bench tells its figures")]
fn tell(figures: &str) {
    println!("{figures}");
}
