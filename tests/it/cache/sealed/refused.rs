//! Sets that are not to be trusted: refused, told of, counted; and the start goes on as if there were none.

use super::*;
use xxhash_rust::xxh3::xxh3_64;

/// Changes the bytes of a file.
type Alter = fn(&mut Vec<u8>);

fn alter(machine: &Machine, alter: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(machine.path()).unwrap();
    alter(&mut bytes);
    fs::write(machine.path(), bytes).unwrap();
}

/// Gives a header its right fingerprint again.
fn put_right(bytes: &mut [u8]) {
    let fingerprint = xxh3_64(&bytes[..56]);
    bytes[56..64].copy_from_slice(&fingerprint.to_le_bytes());
}

/// The set is refused for that reason; nothing of it is served, and the database is, when it is back.
async fn assert_refused(machine: &Machine, reason: &str, told: &str) {
    let log = Log::default();
    let _listening = log.listen();
    machine.store.break_down(true);
    let process = machine.start();
    process.pass(5 * SECOND).await;
    for n in 1..4 {
        assert_eq!(process.ask(&key(n)).await, Err(UNAVAILABLE), "{reason}");
    }
    let state = process.rig.cache.state();
    assert_eq!(
        (state.freshness, state.is_sealed),
        (Freshness::Empty, false)
    );
    assert_eq!(
        process.loads(reason),
        1,
        "{}",
        process.rig.counted.0.render()
    );
    assert_eq!(log.text().matches(told).count(), 1, "{}", log.text());
    machine.store.break_down(false);
    process.pass(2 * SECOND).await;
    for n in 1..4 {
        assert_eq!(process.ask(&key(n)).await, Ok(key(n).id));
    }
    assert!(process.rig.cache.state().is_complete);
}

#[rstest]
#[case::cut_in_the_header(|bytes: &mut Vec<u8>| bytes.truncate(40))]
#[case::header_alone(|bytes: &mut Vec<u8>| bytes.truncate(64))]
#[case::cut_in_a_record(|bytes: &mut Vec<u8>| bytes.truncate(200))]
#[case::last_byte_cut(|bytes: &mut Vec<u8>| bytes.truncate(bytes.len() - 1))]
#[case::byte_more(|bytes: &mut Vec<u8>| bytes.push(0))]
#[case::empty(Vec::clear)]
#[case::zeros(|bytes: &mut Vec<u8>| bytes.fill(0))]
#[case::text(|bytes: &mut Vec<u8>| *bytes = b"kwseal\n, and then nothing of the kind, but long enough to be read as one".to_vec())]
#[case::begun_and_not_ended(|bytes: &mut Vec<u8>| bytes[..64].fill(0))]
#[case::first_byte(|bytes: &mut Vec<u8>| bytes[0] ^= 1)]
#[case::reserved(|bytes: &mut Vec<u8>| bytes[13] ^= 1)]
#[case::time(|bytes: &mut Vec<u8>| bytes[43] ^= 1)]
#[case::header_fingerprint(|bytes: &mut Vec<u8>| bytes[60] ^= 1)]
#[case::digest(|bytes: &mut Vec<u8>| bytes[70] ^= 1)]
#[case::last_byte(|bytes: &mut Vec<u8>| *bytes.last_mut().unwrap() ^= 1)]
#[case::count(|bytes: &mut Vec<u8>| { bytes[16] += 1; put_right(bytes); })]
#[case::length(|bytes: &mut Vec<u8>| { bytes[24] += 1; put_right(bytes); })]
#[case::greatest_length(|bytes: &mut Vec<u8>| { bytes[24..32].fill(0xff); put_right(bytes); })]
#[case::fingerprint(|bytes: &mut Vec<u8>| { bytes[32] ^= 1; put_right(bytes); })]
#[tokio::test(start_paused = true)]
async fn a_torn_or_altered_set_is_refused(#[case] change: Alter) {
    let machine = Machine::new(&keys(1..4));
    machine.seal().await;
    alter(&machine, change);
    assert_refused(&machine, "damaged", "is torn or was altered").await;
}

#[tokio::test(start_paused = true)]
async fn a_set_of_another_version_is_refused() {
    let machine = Machine::new(&keys(1..4));
    machine.seal().await;
    alter(&machine, |bytes| bytes[8] = 2);
    assert_refused(&machine, "version", "it is of version 2").await;
}

#[rstest]
#[case::group(0o660)]
#[case::others(0o602)]
#[case::everybody(0o666)]
#[tokio::test(start_paused = true)]
async fn a_set_that_others_may_write_is_refused(#[case] mode: u32) {
    let machine = Machine::new(&keys(1..4));
    machine.seal().await;
    fs::set_permissions(machine.path(), PermissionsExt::from_mode(mode)).unwrap();
    assert_refused(&machine, "writable", "others may have written it").await;
}

#[tokio::test(start_paused = true)]
async fn a_set_of_another_user_is_refused() {
    let machine = Machine::new(&keys(1..4));
    machine.seal().await;
    let other = Some(65_534);
    if std::os::unix::fs::chown(machine.path(), other, other).is_err() {
        eprintln!("only root can give a file away");
        return;
    }
    assert_refused(&machine, "writable", "others may have written it").await;
}

#[tokio::test(start_paused = true)]
async fn what_is_no_file_is_refused() {
    let machine = Machine::new(&keys(1..4));
    fs::create_dir(machine.path()).unwrap();
    assert_refused(&machine, "writable", "it must be a file").await;
}

#[tokio::test(start_paused = true)]
async fn a_set_older_than_max_stale_is_refused() {
    let mut machine = Machine::new(&keys(1..4));
    machine.config.max_stale = 100 * SECOND;
    machine.seal().await;
    machine.clock.advance(101 * SECOND);
    assert_refused(&machine, "too_old", "longer than `cache.max_stale`").await;
}

#[tokio::test(start_paused = true)]
async fn a_set_of_the_future_is_refused() {
    let machine = Machine::new(&keys(1..4));
    machine.seal().await;
    alter(&machine, |bytes| {
        let ms = u64::from_le_bytes(*bytes[40..].first_chunk().unwrap());
        bytes[40..48].copy_from_slice(&(ms + 100_000).to_le_bytes());
        put_right(bytes);
    });
    assert_refused(&machine, "future", "in the future").await;
}

#[tokio::test(start_paused = true)]
async fn where_no_set_was_sealed_the_start_waits() {
    let machine = Machine::new(&keys(1..4));
    assert_refused(&machine, "missing", "no key set was sealed yet").await;
}

/// Whether a start without the database serves anything of what is there.
async fn serves(machine: &Machine) -> bool {
    let process = machine.start();
    let reads = "keyward_seal_loads_total{result=\"loaded\"} 1";
    let refuses = "keyward_seal_loads_total{result=\"damaged\"} 1";
    let others = "keyward_seal_loads_total{result=\"version\"} 1";
    let tried = async {
        loop {
            let text = process.rig.counted.0.render();
            if [reads, refuses, others].iter().any(|it| text.contains(it)) {
                return;
            }
            settle().await;
        }
    };
    within(tried).await;
    let answer = process.ask(&key(1)).await;
    assert!(answer.is_ok() || answer == Err(UNAVAILABLE));
    assert_eq!(answer.is_ok(), process.loads("loaded") == 1);
    process.kill().await;
    answer.is_ok()
}

#[tokio::test(start_paused = true)]
async fn a_set_with_any_one_byte_altered_or_cut_off_is_refused() {
    let machine = Machine::new(&keys(1..3));
    machine.seal().await;
    machine.store.break_down(true);
    let whole = fs::read(machine.path()).unwrap();
    assert!(serves(&machine).await);
    let mut mask = 0x01_u8;
    for place in 0..whole.len() {
        let mut altered = whole.clone();
        altered[place] ^= mask;
        mask = mask.rotate_left(1);
        fs::write(machine.path(), altered).unwrap();
        assert!(!serves(&machine).await, "byte {place} altered");
        fs::write(machine.path(), &whole[..place]).unwrap();
        assert!(!serves(&machine).await, "cut to {place} bytes");
    }
    fs::write(machine.path(), &whole).unwrap();
    assert!(serves(&machine).await);
}
