//! Python's and Node's own readings. The programs are not everywhere, so these tests run when `tests/readers.sh` asks
//! for them.

use std::io::Write;
use std::process::{Command, Stdio};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use super::laws::body;
use super::reading::{judge, written};
use super::table::{READERS, rows};
use crate::support::cases;
use crate::support::source::package;

/// What a program reads in each of many bodies, by one of the scripts beside this file.
fn readings(program: &str, script: &str, bodies: &[Vec<u8>]) -> Vec<Vec<String>> {
    let mut child = Command::new(program)
        .arg(package().join("tests/it/readers").join(script))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let mut stdin = child.stdin.take().expect("it is piped");
    let lines: String = bodies.iter().map(|body| hexadecimal(body) + "\n").collect();
    let feeding = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let said = child.wait_with_output().expect("it is our child");
    feeding.join().expect("it writes").expect("it is read");
    assert!(said.status.success(), "{program} failed");
    let said = String::from_utf8(said.stdout).expect("readings are ASCII");
    let readings: Vec<Vec<String>> = said
        .lines()
        .map(|line| line.split('\t').map(str::to_owned).collect())
        .collect();
    assert_eq!(readings.len(), bodies.len(), "{program}");
    readings
}

fn hexadecimal(body: &[u8]) -> String {
    let digits: Vec<String> = body.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

fn python(bodies: &[Vec<u8>]) -> Vec<Vec<String>> {
    readings("python3", "read.py", bodies)
}

fn node(bodies: &[Vec<u8>]) -> Vec<Vec<String>> {
    readings("node", "read.js", bodies)
}

#[test]
#[ignore = "tests/readers.sh runs it: it needs python3 and node"]
fn python_and_node_read_what_the_table_says() {
    let rows = rows();
    let bodies: Vec<Vec<u8>> = rows.iter().map(|row| row.body.clone()).collect();
    let read = python(&bodies).into_iter().zip(node(&bodies));
    for ((python, node), row) in read.zip(&rows) {
        let stored = &row.readings[READERS - 4..];
        let shown = row.body.escape_ascii();
        assert_eq!([python, node].concat(), stored, "{shown}");
    }
}

/// Bodies are made as in [`super::laws`]; whatever we let through is read by both programs, and what we do not, too, so
/// that it is known how many of those a reader would have taken.
#[test]
#[ignore = "tests/readers.sh runs it: it needs python3 and node"]
fn neither_reads_another_model_in_what_is_let_through() {
    let mut runner = TestRunner::new(cases(20_000));
    let strategy = body();
    let (mut through, mut taken) = (0, 0);
    let mut left = runner.config().cases;
    while left > 0 {
        let count = left.min(20_000);
        left -= count;
        let made = (0..count).map(|_| strategy.new_tree(&mut runner).expect("a body").current());
        let bodies: Vec<Vec<u8>> = made.collect();
        let read = python(&bodies).into_iter().zip(node(&bodies));
        for ((python, node), body) in read.zip(&bodies) {
            let readings = [python, node].concat();
            let Ok(model) = judge([&**body]) else {
                taken += usize::from(readings.iter().any(|reading| reading.starts_with('"')));
                continue;
            };
            through += 1;
            let judged = written(&model);
            for reading in readings {
                assert!(
                    reading == judged || reading == "-",
                    "{reading}: {}",
                    body.escape_ascii()
                );
            }
        }
    }
    assert!(through > 0 && taken > 0);
    println!(
        "{through} bodies were let through and read alike; {taken} others, which a program takes, were refused"
    );
}
