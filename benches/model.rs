//! What it costs to find the model in a body, and to judge all of it, in the pieces in which a socket gives it.
//!
//! Run with `cargo bench --bench model`.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use keyward::route::ModelScanner;

const PIECE: usize = 16 * 1024;
const SENTENCE: &str =
    "What is the capital of France, and how many people live there? Answer in one sentence.\\n";

fn main() {
    let mut criterion = Criterion::default().without_plots().configure_from_args();
    let mut group = criterion.benchmark_group("model");
    let image = "iVBORw0KGgoAAAANSUhEUgAA".repeat(50_000);
    let bodies = [
        ("chat", chat(1024, SENTENCE)),
        ("chat", chat(100 * 1024, SENTENCE)),
        ("short", chat(1024, "hi there")),
        (
            "chinese",
            chat(
                100 * 1024,
                "你好世界，今天天气怎么样？你好世界，今天天气怎么样？",
            ),
        ),
        ("image", chat(20 * 1024 * 1024, &image)),
        ("tokens", tokens(1024 * 1024)),
    ];
    for (name, body) in &bodies {
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(BenchmarkId::new(*name, body.len()), |bencher| {
            bencher.iter(|| judge(black_box(body)));
        });
    }
    group.finish();
    criterion.final_summary();
}

fn judge(body: &[u8]) -> usize {
    let mut scanner = ModelScanner::new(128);
    for piece in body.chunks(PIECE) {
        scanner.push(piece).expect("a body without fault");
    }
    scanner.finish().expect("it names a model").len()
}

fn chat(bytes: usize, text: &str) -> Vec<u8> {
    let message = format!(r#"{{"role":"user","content":"{text}"}}"#);
    let messages = vec![message.as_str(); (bytes / message.len()).max(1)].join(",");
    format!(r#"{{"model":"meta/llama-3","stream":true,"temperature":0.7,"messages":[{messages}]}}"#)
        .into_bytes()
}

fn tokens(bytes: usize) -> Vec<u8> {
    let tokens: Vec<String> = (0..bytes / 6)
        .map(|place| (place * 7919 % 100_000).to_string())
        .collect();
    format!(
        r#"{{"model":"meta/llama-3","input":[{}]}}"#,
        tokens.join(",")
    )
    .into_bytes()
}
