//! A real PgBouncer in front of a real Postgres, in transaction mode: Debian's, wherever it is.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use keyward::config::environment;

use super::postgres::{Postgres, as_user, free_port, own_directory, somebody};
use super::{PATIENCE, source};

/// Runs PgBouncer until the test process is gone, however it went.
const SUPERVISOR: &str = r#"
trap '' INT TERM HUP
LD_LIBRARY_PATH="$1" "$1/pgbouncer" -q "$1/pgbouncer.ini" </dev/null &
cat >/dev/null
kill -KILL $!
wait
rm -rf "$1"
"#;

/// A pooler with so few sessions that its clients get each other's.
pub struct PgBouncer {
    port: u16,
    supervisor: Child,
}

impl PgBouncer {
    /// In front of `server`; nothing when `KEYWARD_TEST_PGBOUNCER=skip` says to go without.
    pub fn before(server: &Postgres) -> Option<Self> {
        let wish = environment::variable("KEYWARD_TEST_PGBOUNCER");
        if wish.is_some_and(|wish| wish == "skip") {
            return None;
        }
        let user = somebody();
        let directory = own_directory(user);
        let port = free_port();
        let (socket, server_port) = server.socket();
        // It refuses what it does not know at a start: no `ignore_startup_parameters`.
        let settings = format!(
            "[databases]\n* = host={} port={server_port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {users}\n\
             pool_mode = transaction\ndefault_pool_size = 2\nmax_client_conn = 1000\nserver_idle_timeout = 2\n",
            socket.display(),
            users = directory.join("users").display(),
        );
        fs::write(directory.join("pgbouncer.ini"), settings).expect("a directory of our own");
        fs::write(directory.join("users"), "\"postgres\" \"\"\n").expect("a directory of our own");
        // Copied, for another user may not be able to read what is below this package.
        for file in program() {
            let copy = directory.join(file.file_name().expect("a file"));
            fs::copy(&file, &copy).expect("it can be read");
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).expect("it is ours");
        }
        if let Some((uid, gid)) = user {
            for entry in fs::read_dir(&directory).expect("it is there").flatten() {
                chown(entry.path(), Some(uid), Some(gid)).expect("we are root");
            }
        }
        let supervisor = as_user(Command::new("sh"), user)
            .args(["-c", SUPERVISOR, "supervisor"])
            .arg(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh runs");
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(Instant::now() < deadline, "pgbouncer does not start");
            std::thread::sleep(Duration::from_millis(5));
        }
        Some(Self { port, supervisor })
    }

    /// Url of a database, through it.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        let _ = self.supervisor.wait();
    }
}

/// The program, and the libraries that were unpacked beside it.
fn program() -> Vec<PathBuf> {
    let unpacked = source::package().join("target/tools/pgbouncer");
    if unpacked.join("pgbouncer").is_file() {
        let files = fs::read_dir(unpacked).expect("it is there").flatten();
        return files.map(|file| file.path()).collect();
    }
    let installed = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].map(Path::new);
    let found = installed.into_iter().find(|path| path.is_file());
    let found = found.expect(
        "this test needs PgBouncer: `sh tests/all.sh` unpacks Debian's package `pgbouncer`, or install it, or set \
         KEYWARD_TEST_PGBOUNCER=skip",
    );
    vec![found.to_owned()]
}
