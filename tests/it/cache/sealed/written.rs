//! When a set is written, and what of it.

use super::*;

#[tokio::test(start_paused = true)]
async fn the_file_is_its_owners_alone_whole_and_without_a_secret() {
    let machine = Machine::new(&keys(1..40));
    machine.seal().await;
    let metadata = fs::metadata(machine.path()).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    let bytes = fs::read(machine.path()).unwrap();
    let holds = |what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
    for key in keys(1..40) {
        assert!(holds(key.digest.as_bytes()));
        assert!(!holds(text_of(&key).as_bytes()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_after_quiet_is_sealed_at_once_and_many_together() {
    let machine = Machine::new(&keys(1..3));
    let process = machine.start();
    within(process.rig.cache.filled()).await;
    process.pass(2 * SECOND).await;
    assert_eq!(process.writes("written"), 1);
    process.pass(40 * SECOND).await;
    let quiet = machine.inode();
    assert_eq!(process.writes("written"), 1);

    process.rig.applied(machine.store.put(&key(5))).await;
    process.pass(2 * SECOND).await;
    assert_eq!(process.writes("written"), 2);
    assert_ne!(machine.inode(), quiet);
    for n in 6..26 {
        process.rig.applied(machine.store.put(&key(n))).await;
        process.pass(SECOND).await;
    }
    assert_eq!(process.writes("written"), 2);
    process.pass(10 * SECOND).await;
    assert_eq!(process.writes("written"), 3);
    assert_eq!(process.writes("failed"), 0);
    process.kill().await;
    let process = machine.start_without_database(SECOND).await;
    for n in 5..26 {
        assert_eq!(process.ask(&key(n)).await, Ok(key(n).id));
    }
}

#[tokio::test(start_paused = true)]
async fn a_set_that_does_not_change_is_confirmed_and_not_written_again() {
    let machine = Machine::new(&keys(1..3));
    let process = machine.start();
    within(process.rig.cache.filled()).await;
    process.pass(2 * SECOND).await;
    let (inode, before) = (machine.inode(), fs::read(machine.path()).unwrap());
    process.pass(3_600 * SECOND).await;
    assert_eq!(machine.inode(), inode);
    let after = fs::read(machine.path()).unwrap();
    assert_ne!(after[..64], before[..64]);
    assert_eq!(after[64..], before[64..]);
    assert_eq!(process.writes("written"), 1);
    assert!((110..=121).contains(&process.writes("confirmed")));
    process.kill().await;
    let process = machine.start_without_database(SECOND).await;
    assert!(process.age() <= 35 * SECOND, "{:?}", process.age());
    assert_eq!(process.ask(&key(1)).await, Ok(key(1).id));
}

#[tokio::test(start_paused = true)]
async fn an_outage_confirms_nothing_and_the_last_change_before_it_is_sealed() {
    let machine = Machine::new(&keys(1..3));
    let process = machine.start();
    within(process.rig.cache.filled()).await;
    process.pass(40 * SECOND).await;
    process.rig.applied(machine.store.put(&key(5))).await;
    process.pass(2 * SECOND).await;
    process.rig.applied(machine.store.delete(key(1).id)).await;
    machine.store.break_down(true);
    process.pass(300 * SECOND).await;
    process.end().await;
    let process = machine.start();
    within(process.rig.cache.filled()).await;
    assert!(process.age() >= 300 * SECOND, "{:?}", process.age());
    assert_eq!(process.ask(&key(1)).await, Err(UNAVAILABLE));
    assert_eq!(process.ask(&key(5)).await, Ok(key(5).id));
}

#[tokio::test(start_paused = true)]
async fn a_set_that_was_removed_is_written_again() {
    let machine = Machine::new(&keys(1..3));
    let process = machine.start();
    within(process.rig.cache.filled()).await;
    process.pass(2 * SECOND).await;
    fs::remove_file(machine.path()).unwrap();
    process.pass(32 * SECOND).await;
    assert_eq!(machine.files(), ["set"]);
    assert_eq!(process.writes("written"), 2);
}

/// What keeps a set from being written.
#[derive(Debug, Clone, Copy)]
enum Obstacle {
    /// Something in place of the draft.
    Directory,
    /// Another process that is writing its own.
    Another,
    /// A file that is no sealed set.
    Foreign,
}

impl Obstacle {
    /// Puts it there; returns what takes it away when it is dropped or called.
    fn put(self, machine: &Machine) -> Box<dyn FnOnce() + '_> {
        let (path, draft) = (machine.path(), machine.path().with_extension("new"));
        match self {
            Self::Directory => {
                fs::create_dir(&draft).unwrap();
                Box::new(move || fs::remove_dir(draft).unwrap())
            }
            Self::Another => {
                let file = fs::File::create(&draft).unwrap();
                file.lock().unwrap();
                Box::new(move || drop(file))
            }
            Self::Foreign => {
                fs::write(&path, "the keys of the safe").unwrap();
                Box::new(move || {
                    assert_eq!(fs::read(&path).unwrap(), b"the keys of the safe");
                    fs::remove_file(path).unwrap();
                })
            }
        }
    }
}

#[rstest]
#[tokio::test(start_paused = true)]
async fn a_set_that_cannot_be_sealed_is_told_of_once_and_costs_nothing(
    #[values(Obstacle::Directory, Obstacle::Another, Obstacle::Foreign)] obstacle: Obstacle,
) {
    let log = Log::default();
    let _listening = log.listen();
    let machine = Machine::new(&keys(1..3));
    let remove = obstacle.put(&machine);
    let process = machine.start();
    within(process.rig.cache.filled()).await;
    for n in 10..20 {
        process.rig.applied(machine.store.put(&key(n))).await;
        process.pass(40 * SECOND).await;
        assert_eq!(process.ask(&key(n)).await, Ok(key(n).id));
    }
    let failed = process.writes("failed");
    assert!((10..=14).contains(&failed), "{failed}");
    assert_eq!(process.writes("written"), 0);
    remove();
    process.pass(40 * SECOND).await;
    assert_eq!(process.writes("written"), 1);
    assert_eq!(machine.files(), ["set"]);
    let said = log.text();
    assert_eq!(said.matches("could not be sealed").count(), 1, "{said}");
    assert_eq!(said.matches("sealed again").count(), 1, "{said}");
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_process_left_half_written_is_written_over() {
    let machine = Machine::new(&keys(1..3));
    let draft = machine.path().with_extension("new");
    fs::write(&draft, vec![b'x'; 1_000_000]).unwrap();
    fs::set_permissions(&draft, PermissionsExt::from_mode(0o666)).unwrap();
    machine.seal().await;
    let metadata = fs::metadata(machine.path()).unwrap();
    assert!(metadata.len() < 1_000);
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    let process = machine.start_without_database(SECOND).await;
    assert_eq!(process.ask(&key(1)).await, Ok(key(1).id));
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_is_not_there_is_made_for_us_alone() {
    let mut machine = Machine::new(&keys(1..3));
    let directory = machine.directory.path().join("var/lib");
    machine.config.seal = Some(directory.join("set"));
    let process = machine.start();
    within(process.rig.cache.filled()).await;
    process.end().await;
    let mode = fs::metadata(&directory).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert!(directory.join("set").exists());
}

#[tokio::test(start_paused = true)]
async fn more_keys_than_memory_holds_are_sealed_as_far_as_they_are_held() {
    let mut machine = Machine::new(&keys(1..1_001));
    machine.config.keys = 100;
    machine.seal().await;
    let process = machine.start_without_database(SECOND).await;
    let mut known = 0;
    for key in keys(1..1_001) {
        match process.ask(&key).await {
            Ok(_) => known += 1,
            refused => assert_eq!(refused, Err(UNAVAILABLE)),
        }
    }
    assert!((50..=100).contains(&known), "{known}");
}
