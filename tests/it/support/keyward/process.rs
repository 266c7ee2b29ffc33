use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Deref;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use keyward::server::Addresses;
use rustix::process::{Pid, Signal, kill_process};
use sqlx::sqlite::SqliteConnection;
use tokio::net::TcpStream;

use super::{Doors, Settings};
use crate::support::eventually;
use crate::support::upstream::FakeUpstream;

/// The real binary, for what only a process has: signals and an exit code. Killed when it is dropped.
pub struct KeywardProcess {
    /// The model server that the settings lead to.
    pub upstream: FakeUpstream,
    child: Child,
    doors: Doors,
    settings: Settings,
}

impl KeywardProcess {
    /// Starts it with these settings, as [`TestKeyward::with`](super::TestKeyward::with) does, and waits until it is
    /// ready.
    pub async fn start(settings: &str) -> Self {
        Self::start_in(settings, &[]).await
    }

    /// The same, with these variables in its environment, and no others.
    pub async fn start_in(settings: &str, environment: &[(&str, &str)]) -> Self {
        let upstream = FakeUpstream::start();
        // A free port may be taken by somebody else before the process has it.
        for _ in 0..5 {
            let addresses = free_addresses();
            let mut settings = Settings::write(settings, &upstream, addresses);
            let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            settings.environment = environment.iter().map(owned).collect();
            let mut child = spawn(&settings);
            if listens(&mut child, addresses).await {
                let doors = Doors::at(addresses);
                doors.ready().await;
                return Self {
                    upstream,
                    child,
                    doors,
                    settings,
                };
            }
            let said = settings.said();
            assert!(said.contains("cannot listen"), "{said}");
        }
        panic!("five times somebody else took a free port")
    }

    /// Starts the next process, with the same files and addresses, beside this one.
    pub fn next(&self) -> NextProcess {
        NextProcess(Some(spawn(&self.settings)))
    }

    /// Waits for this process's end, and is the next one from then on: the exit code.
    pub async fn succeeded_by(&mut self, mut next: NextProcess) -> Option<i32> {
        let code = self.exit_code().await;
        self.child = next.0.take().expect("it is there until here");
        code
    }

    /// Starts it once more, with the same files and addresses, when it has ended. It does not serve yet when this
    /// returns.
    pub fn spawn_again(&mut self) {
        assert!(!self.runs(), "it still runs");
        drop(std::fs::remove_file(self.settings.log()));
        self.child = spawn(&self.settings);
    }

    /// Waits until it is ready, after [`KeywardProcess::spawn_again`].
    pub async fn ready_again(&mut self) {
        self.listens_again().await;
        self.doors.ready().await;
    }

    /// Waits until it listens, ready or not, after [`KeywardProcess::spawn_again`].
    pub async fn listens_again(&mut self) {
        let listens = listens(&mut self.child, self.doors.addresses).await;
        assert!(listens, "{}", self.settings.said());
    }

    /// What it has said on both streams since it was started last.
    pub fn said(&self) -> String {
        self.settings.said()
    }

    /// A connection to the database file, as somebody has who knows nothing of keyward.
    pub async fn database(&self) -> SqliteConnection {
        self.settings.connection().await
    }

    /// Ends it with SIGKILL: there is no process any more when this returns.
    pub fn kill(&mut self) {
        self.child.kill().expect("it is our own child");
        let ended = self.child.wait().expect("it is our own child");
        assert_eq!(ended.code(), None, "it had ended: {}", self.settings.said());
    }

    /// The file `name` in its directory, where the database and the settings are.
    pub fn path(&self, name: &str) -> PathBuf {
        self.settings.directory.path().join(name)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it is our own child, and was not waited for");
    }

    /// Its number.
    pub fn pid(&self) -> Pid {
        let pid = i32::try_from(self.child.id()).expect("a pid fits");
        Pid::from_raw(pid).expect("no pid is zero")
    }

    /// The memory that it takes, in bytes.
    pub fn resident_bytes(&self) -> usize {
        let status = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(status).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_ascii_whitespace().next());
        let kib: usize = kib.expect("the kernel says it").parse().expect("a number");
        kib * 1024
    }

    /// Waits for its end: the exit code, `None` when a signal ended it.
    pub async fn exit_code(&mut self) -> Option<i32> {
        let child = &mut self.child;
        let ended = eventually("the process ends", || child.try_wait().expect("a child"));
        ended.await.code()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// Writes other settings into its file; it reads them when it is told to.
    pub fn write_settings(&self, settings: &str) {
        let addresses = self.doors.addresses;
        self.settings.rewrite(settings, &self.upstream, addresses);
    }

    /// The one number that `sql` answers, read from the database file.
    pub async fn number(&self, sql: &str) -> i64 {
        self.settings.number(sql).await
    }
}

/// A process that is to take over from another. Killed when it is dropped.
pub struct NextProcess(Option<Child>);

impl NextProcess {
    /// Waits for its end: the exit code, `None` when a signal ended it.
    pub async fn exit_code(mut self) -> Option<i32> {
        let child = self.0.as_mut().expect("it is there until it takes over");
        let ended = eventually("the process ends", || child.try_wait().expect("a child"));
        ended.await.code()
    }
}

impl Drop for NextProcess {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // It may have ended by itself.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

impl Deref for KeywardProcess {
    type Target = Doors;

    fn deref(&self) -> &Doors {
        &self.doors
    }
}

impl Drop for KeywardProcess {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn spawn(settings: &Settings) -> Child {
    let mut log = File::options();
    let log = log.create(true).append(true).open(settings.log());
    let log = log.expect("the directory is ours");
    let also = log.try_clone().expect("a file is open");
    Command::new(env!("CARGO_BIN_EXE_keyward"))
        .args(["serve", "--config"])
        .arg(settings.file())
        .env_clear()
        .envs(settings.environment.iter().cloned())
        .current_dir(settings.directory.path())
        .stdin(Stdio::null())
        .stdout(also)
        .stderr(log)
        .spawn()
        .expect("the binary runs")
}

/// Waits until the process listens; `false` when it ended instead.
async fn listens(child: &mut Child, addresses: Addresses) -> bool {
    loop {
        if child.try_wait().expect("a child").is_some() {
            return false;
        }
        if TcpStream::connect(addresses.probes).await.is_ok() {
            return true;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

fn free_addresses() -> Addresses {
    let listeners = [(); 3]
        .map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port"));
    let [proxy, admin, probes] = listeners
        .each_ref()
        .map(|listener| listener.local_addr().expect("a listener has an address"));
    Addresses {
        proxy,
        admin,
        probes,
    }
}
