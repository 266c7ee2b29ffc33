//! What does not depend on the machine's neighbours: instructions, by callgrind, and system calls, by strace.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::cpu;
use crate::load::{self, Ask, Caller};
use crate::peers::{Kind, Listens, Peer, World};

/// How many calls are counted.
const CALLS: u32 = 2_000;

/// How many instructions the whole program makes for what is asked, on one connection, with what runs beside it: nothing where
/// callgrind cannot be run.
pub async fn instructions(world: &mut World, ask: Ask) -> Option<f64> {
    let valgrind = world.tools.join("valgrind/usr");
    let counted = world.place.join("callgrind.out");
    let parts = valgrind.join("libexec/valgrind");
    world.under = vec![
        "env".to_owned(),
        format!("VALGRIND_LIB={}", parts.display()),
        valgrind.join("bin/valgrind.bin").display().to_string(),
        "--tool=callgrind".to_owned(),
        "--instr-atstart=no".to_owned(),
        format!("--callgrind-out-file={}", counted.display()),
    ];
    let peer = Kind::Keyward.start(world, Listens::Plain).await;
    world.under.clear();
    let peer = peer?;
    let mut caller = Caller::new(&peer.target, ask, 0);
    // Whatever is done once is done before.
    for _ in 0..200 {
        caller.call().await.ok()?;
    }
    let switch = |how: &str| {
        let told = Command::new(valgrind.join("bin/vgdb"))
            .arg(format!("--pid={}", peer.pid()))
            .args(["instrumentation", how])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        told.is_ok_and(|status| status.success()).then_some(())
    };
    switch("on")?;
    for _ in 0..CALLS {
        caller.call().await.ok()?;
    }
    switch("off")?;
    // It writes down what it has counted when it ends.
    drop(peer);
    let text = fs::read_to_string(&counted).ok()?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    Some(total?.trim().parse::<f64>().ok()? / f64::from(CALLS))
}

/// How many system calls a proxy makes for a call, with 64 callers, beside those that it makes in the same time without any:
/// nothing where it may not be watched.
pub async fn system_calls(peer: &Peer, world: &World) -> Option<f64> {
    const TIME: Duration = Duration::from_secs(2);
    let idle = watched(peer, world, tokio::time::sleep(TIME)).await?.0;
    let ask = Ask::Small { keys: world.keys };
    let load = load::closed(&peer.target, ask, 64, TIME, false);
    let (all, done) = watched(peer, world, load).await?;
    Some((all - idle) / done.answered()?)
}

/// How many system calls a proxy makes during `work`. Who watches has the proxy's core: else the proxy would wait for each call.
async fn watched<T>(peer: &Peer, world: &World, work: impl Future<Output = T>) -> Option<(f64, T)> {
    let counted = world.place.join("strace.out");
    let strace = world.tools.join("strace/usr");
    let pids = cpu::tree(peer.pid());
    let of = |pid: &u32| ["-p".to_owned(), pid.to_string()];
    let mut watch = Command::new("taskset")
        .args(["-c", "0"])
        .arg(strace.join("bin/strace"))
        .env("LD_LIBRARY_PATH", strace.join("lib/x86_64-linux-gnu"))
        .args(["-q", "-f", "-c", "-U", "calls,name", "-o"])
        .arg(&counted)
        .args(pids.iter().flat_map(of))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let until = Instant::now() + Duration::from_secs(5);
    let is_attached = loop {
        let all = pids.iter().all(|pid| is_watched(*pid));
        if all || Instant::now() >= until {
            break all;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let done = work.await;
    let pid = i32::try_from(watch.id()).ok().and_then(Pid::from_raw)?;
    let _ = kill_process(pid, Signal::INT);
    let _ = watch.wait();
    let text = fs::read_to_string(&counted).ok().filter(|_| is_attached)?;
    // Who made none is told of by no line.
    let total = text.lines().find(|line| line.ends_with(" total"));
    let total = total.map_or(Some(0.0), |total| {
        total.split_whitespace().next()?.parse().ok()
    });
    Some((total?, done))
}

/// Whether somebody traces every thread of this process.
fn is_watched(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    threads.into_iter().flatten().flatten().all(|thread| {
        let status = fs::read_to_string(thread.path().join("status"));
        let status = status.unwrap_or_default();
        let tracer = status
            .lines()
            .find_map(|line| line.strip_prefix("TracerPid:"));
        tracer.is_none_or(|tracer| tracer.trim() != "0")
    })
}
