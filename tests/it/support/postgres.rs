//! A real Postgres for tests, that nobody has to set up: started from the distribution's binaries, as another user when
//! root, in a directory of its own, and gone when this process is, even after a kill.
//!
//! [`Postgres::shared`] is one server for all tests that only need a database; [`Postgres::own`] is one for a test
//! that stops, pauses or kills it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use keyward::config::environment;
use rustix::process::{Pid, Signal, kill_process};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};

/// How long a server may take to start or to stop.
const PATIENCE: Duration = Duration::from_mins(1);

/// What nobody needs whose machine does not fail. A killed server has lost nothing that it had told the system.
const IN_A_HURRY: [&str; 5] = [
    "fsync=off",
    "full_page_writes=off",
    "shared_buffers=16MB",
    "max_connections=300",
    "autovacuum=off",
];

/// What is said where there is none.
const NEEDED: &str = "this test needs Postgres: install Debian's package `postgresql` (`sh tests/all.sh` does, and starts \
    no server), or name the directory of `initdb` and `postgres` in KEYWARD_TEST_PG_BIN, or set KEYWARD_TEST_PG=skip";

/// Waits until the test process is gone, however it went, and cleans up.
const SUPERVISOR: &str = r#"
trap '' INT TERM HUP
cat >/dev/null
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null) || pid=
if [ -n "$pid" ]; then
    for stat in /proc/[0-9]*/stat; do
        read -r child _ _ parent _ <"$stat" || continue
        [ "$parent" != "$pid" ] || kill -CONT "$child"
    done
    kill -CONT "$pid"
    kill -QUIT "$pid"
    tries=0
    while kill -0 "$pid" && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
fi
rm -rf "$1"
"#;

/// A server.
pub struct Postgres {
    directory: PathBuf,
    port: u16,
    bin: PathBuf,
    user: Option<(u32, u32)>,
    settings: Vec<String>,
    process: Mutex<Option<Child>>,
    supervisor: Child,
    databases: AtomicU32,
    /// Databases that nobody uses any more, to be dropped by who makes the next one.
    forgotten: Mutex<Vec<String>>,
}

impl Postgres {
    /// The server that the tests of this process share; nothing when `KEYWARD_TEST_PG=skip` says to go without.
    pub fn shared() -> Option<&'static Self> {
        // Found outside of the lock, so that every test fails for the reason and none for another's failure.
        static SHARED: LazyLock<Postgres> = LazyLock::new(|| Postgres::start(binaries(), &[]));
        (!is_skipped()).then(|| {
            binaries();
            LazyLock::force(&SHARED)
        })
    }

    /// A server of one's own, with settings such as `wal_level=logical`; nothing when tests go without.
    pub fn own(settings: &[&str]) -> Option<Self> {
        (!is_skipped()).then(|| Self::own_if_there(settings).expect(NEEDED))
    }

    /// The same; nothing where this machine has no Postgres.
    pub fn own_if_there(settings: &[&str]) -> Option<Self> {
        found().map(|bin| Self::start(bin, settings))
    }

    /// One with a certificate for `db.test` and 127.0.0.1, and not for `localhost`; with the authority that vouches for it.
    pub fn own_with_tls() -> Option<(Self, PathBuf)> {
        (!is_skipped()).then(|| {
            let server = Self::make(binaries(), &["ssl=on"]);
            server.certify();
            server.start_again();
            let authority = server.directory.join("data/ca.pem");
            (server, authority)
        })
    }

    fn start(bin: PathBuf, settings: &[&str]) -> Self {
        let server = Self::make(bin, settings);
        server.start_again();
        server
    }

    /// A server that does not run yet.
    fn make(bin: PathBuf, settings: &[&str]) -> Self {
        let user = somebody();
        let directory = own_directory(user);
        let mut supervisor = as_user(Command::new("sh"), user)
            .args(["-c", SUPERVISOR, "supervisor"])
            .arg(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("sh runs");
        let made = as_user(Command::new(bin.join("initdb")), user)
            .arg("-D")
            .arg(directory.join("data"))
            .args([
                "-U",
                "postgres",
                "-A",
                "trust",
                "--no-sync",
                "--no-locale",
                "-E",
                "UTF8",
            ])
            .output()
            .expect("initdb runs");
        if !made.status.success() {
            drop(supervisor.stdin.take());
            panic!("initdb: {}", String::from_utf8_lossy(&made.stderr));
        }
        Self {
            directory,
            port: free_port(),
            bin,
            user,
            settings: settings
                .iter()
                .map(|setting| (*setting).to_owned())
                .collect(),
            process: Mutex::new(None),
            supervisor,
            databases: AtomicU32::new(0),
            forgotten: Mutex::default(),
        }
    }

    /// Makes an authority and a certificate where the server looks for its own.
    fn certify(&self) {
        const COMMANDS: [&str; 3] = [
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -keyout ca.key -out ca.pem \
             -subj /CN=authority -addext keyUsage=keyCertSign",
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.csr -subj /CN=db.test \
             -addext subjectAltName=DNS:db.test,IP:127.0.0.1",
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -copy_extensions copy \
             -out server.crt",
        ];
        for command in COMMANDS {
            let mut openssl = as_user(Command::new("openssl"), self.user);
            let openssl = openssl
                .args(command.split_whitespace())
                .current_dir(self.directory.join("data"));
            let ran = openssl.output().expect("openssl is there");
            assert!(
                ran.status.success(),
                "{}",
                String::from_utf8_lossy(&ran.stderr)
            );
        }
    }

    /// Starts it after a stop or a kill, at the same place with the same data; waits until it answers.
    pub fn start_again(&self) {
        let log = fs::File::create(self.directory.join("log")).expect("a log");
        let mut command = as_user(Command::new(self.bin.join("postgres")), self.user);
        command
            .arg("-D")
            .arg(self.directory.join("data"))
            .arg("-k")
            .arg(&self.directory)
            .args([
                "-p",
                &self.port.to_string(),
                "-c",
                "listen_addresses=127.0.0.1",
            ]);
        for setting in IN_A_HURRY
            .iter()
            .copied()
            .chain(self.settings.iter().map(String::as_str))
        {
            command.args(["-c", setting]);
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0)
            .spawn()
            .expect("postgres runs");
        *self.process() = Some(child);
        self.wait("start", || {
            assert!(self.is_running(), "{}", self.log());
            let state = fs::read_to_string(self.pid_file()).unwrap_or_default();
            state
                .lines()
                .nth(7)
                .is_some_and(|state| state.trim() == "ready")
        });
    }

    /// Stops it in good order: sessions are ended, and the server with them.
    pub fn stop(&self) {
        self.signal(Signal::INT);
        self.wait_until_ended();
    }

    /// Ends it as a failing machine would: nobody is told anything.
    pub fn kill(&self) {
        for pid in self.all_processes() {
            // One that has ended by itself cannot be killed.
            let _ = kill_process(pid, Signal::KILL);
        }
        self.wait_until_ended();
        // What a killed server leaves behind would keep the next one from starting.
        let _ = fs::remove_file(self.pid_file());
    }

    /// Stops all its processes where they are: connections stay open, and nobody answers.
    pub fn pause(&self) {
        // The first of them first, so that it starts no other meanwhile.
        for pid in self.all_processes() {
            kill_process(pid, Signal::STOP).expect("it runs");
        }
    }

    /// Lets them go on.
    pub fn resume(&self) {
        for pid in self.all_processes() {
            kill_process(pid, Signal::CONT).expect("it is there");
        }
    }

    /// Url of a database, through the server's socket, as the one who may do everything.
    pub fn url(&self, database: &str) -> String {
        let socket = self.directory.display().to_string().replace('/', "%2F");
        format!("postgres://postgres@{socket}:{}/{database}", self.port)
    }

    /// Where it listens for TCP.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Url of a database over TCP, as `user`.
    pub fn tcp_url(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@{}/{database}", self.address())
    }

    /// Url of a database over TCP by another name of this machine, with `parameters`.
    pub fn url_by(&self, host: &str, database: &str, parameters: &str) -> String {
        format!(
            "postgres://postgres@{host}:{}/{database}?{parameters}",
            self.port
        )
    }

    /// Where its socket is, and the port that goes with it.
    pub fn socket(&self) -> (&std::path::Path, u16) {
        (&self.directory, self.port)
    }

    /// Makes a database that nobody else has, and returns its name.
    pub async fn new_database(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        let forgotten = std::mem::take(&mut *self.forgotten());
        let mut connection = self.connect("postgres").await;
        for old in forgotten {
            let drop = format!("DROP DATABASE IF EXISTS {old} WITH (FORCE)");
            connection.execute(AssertSqlSafe(drop)).await.unwrap();
        }
        let create = format!("CREATE DATABASE {name}");
        connection.execute(AssertSqlSafe(create)).await.unwrap();
        connection.close().await.unwrap();
        name
    }

    /// Says that nobody needs the database any more.
    pub fn forget(&self, database: &str) {
        self.forgotten().push(database.to_owned());
    }

    /// A session of nobody in particular.
    pub async fn connect(&self, database: &str) -> PgConnection {
        let options: PgConnectOptions = self.url(database).parse().unwrap();
        options.disable_statement_logging().connect().await.unwrap()
    }

    /// What the server has logged since its last start.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) {
        let pid = self.process().as_ref().map(Child::id);
        kill_process(as_pid(pid.expect("it runs")), signal).expect("it runs");
    }

    fn is_running(&self) -> bool {
        let mut process = self.process();
        process
            .as_mut()
            .is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    fn wait_until_ended(&self) {
        self.wait("stop", || !self.is_running());
        *self.process() = None;
    }

    /// The first process, and its children.
    fn all_processes(&self) -> Vec<Pid> {
        let first = self.process().as_ref().map(Child::id).expect("it runs");
        let mut all = vec![as_pid(first)];
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            // `pid (name) state parent …`, where the name may hold anything.
            let Some((pid, rest)) = stat.split_once(' ') else {
                continue;
            };
            let parent = rest
                .rsplit_once(')')
                .and_then(|(_, rest)| rest.split(' ').nth(2));
            if parent.and_then(|parent| parent.parse().ok()) == Some(first) {
                all.push(as_pid(pid.parse().unwrap()));
            }
        }
        all
    }

    fn pid_file(&self) -> PathBuf {
        self.directory.join("data/postmaster.pid")
    }

    fn wait(&self, what: &str, mut done: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done() {
            assert!(
                Instant::now() < deadline,
                "postgres does not {what}: {}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn process(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forgotten(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.forgotten
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.is_running() {
            for pid in self.all_processes() {
                let _ = kill_process(pid, Signal::CONT);
            }
            // At once, and its children with it.
            self.signal(Signal::QUIT);
        }
        if let Some(mut child) = self.process().take() {
            let _ = child.wait();
        }
        drop(self.supervisor.stdin.take());
        let _ = self.supervisor.wait();
    }
}

/// Whether tests are to go without Postgres.
pub(super) fn is_skipped() -> bool {
    environment::variable("KEYWARD_TEST_PG").is_some_and(|word| word == "skip")
}

/// Where the distribution keeps its binaries.
fn binaries() -> PathBuf {
    found().expect(NEEDED)
}

/// The same, where it has some.
fn found() -> Option<PathBuf> {
    let has_server = |bin: &PathBuf| bin.join("initdb").exists() && bin.join("postgres").exists();
    let named = environment::path("KEYWARD_TEST_PG_BIN").into_iter();
    let mut debian: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    debian.sort_unstable_by(|one, other| other.cmp(one));
    let debian = debian.into_iter().map(|(_, bin)| bin);
    let told = std::iter::once_with(|| {
        let told = Command::new("pg_config").arg("--bindir").output().ok()?;
        Some(PathBuf::from(String::from_utf8_lossy(&told.stdout).trim()))
    });
    let local = [PathBuf::from("/usr/local/bin")];
    named
        .chain(debian)
        .chain(told.flatten())
        .chain(local)
        .find(has_server)
}

/// Postgres does not run as root: then it is its own user, or nobody.
pub(super) fn somebody() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("users");
    let find = |name: &str| {
        let line = users
            .lines()
            .find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    Some(
        find("postgres")
            .or_else(|| find("nobody"))
            .expect("a user `nobody`"),
    )
}

pub(super) fn as_user(mut command: Command, user: Option<(u32, u32)>) -> Command {
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command.current_dir("/");
    command
}

/// Below /tmp, whatever TMPDIR says: the path of a socket may have 107 bytes only, and another user must reach it.
pub(super) fn own_directory(user: Option<(u32, u32)>) -> PathBuf {
    let made = tempfile::Builder::new()
        .prefix("keyward-pg-")
        .tempdir_in("/tmp");
    let directory = made.expect("a directory below /tmp").keep();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).unwrap();
    if let Some((uid, gid)) = user {
        chown(&directory, Some(uid), Some(gid)).unwrap();
    }
    directory
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

fn as_pid(pid: u32) -> Pid {
    Pid::from_raw(pid.cast_signed()).expect("a process has a number")
}
