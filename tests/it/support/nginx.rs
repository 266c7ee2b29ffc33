//! A real nginx with the configurations of `deploy/nginx`: Debian's, wherever it is.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use keyward::config::environment;
use tempfile::TempDir;

use super::PATIENCE;
use super::postgres::free_port;
use super::source;
use super::tls::Folder;

/// A running nginx; gone when it is dropped.
pub struct Nginx {
    port: u16,
    child: Child,
    _directory: TempDir,
}

impl Nginx {
    /// Before `models`, asking `keyward`; nothing when `KEYWARD_TEST_NGINX=skip` says to go without.
    pub fn before(models: SocketAddr, keyward: SocketAddr) -> Option<Self> {
        Self::with("nginx.conf", "127.0.0.1:8088", |settings| {
            settings
                .replace("127.0.0.1:8080", &keyward.to_string())
                .replace("127.0.0.1:8000", &models.to_string())
        })
    }

    /// With TLS before the admin listener `admin`, with the files of `tls`, and otherwise as `change` says.
    pub fn before_admin(
        admin: SocketAddr,
        tls: &Folder,
        change: impl FnOnce(String) -> String,
    ) -> Option<Self> {
        Self::with("admin.conf", "443", |settings| {
            let files = tls.path("").display().to_string();
            change(settings)
                .replace("127.0.0.1:9090", &admin.to_string())
                .replace("/etc/nginx/tls/", &files)
        })
    }

    /// With the example `name`, whose `listen` becomes a free port of ours.
    fn with(name: &str, listen: &str, change: impl FnOnce(String) -> String) -> Option<Self> {
        let wish = environment::variable("KEYWARD_TEST_NGINX");
        if wish.is_some_and(|wish| wish == "skip") {
            return None;
        }
        let directory = TempDir::new().expect("a temporary directory");
        let port = free_port();
        let written = fs::read_to_string(source::package().join("deploy/nginx").join(name));
        let settings = change(written.expect("the example is there"))
            .replace(
                &format!("listen {listen}"),
                &format!("listen 127.0.0.1:{port}"),
            )
            // One process, whoever runs the tests; and nothing outside of its directory.
            .replace("worker_processes auto;", "master_process off;")
            .replace(
                "http {\n",
                "http {\n    client_body_temp_path a;\n    proxy_temp_path b;\n    fastcgi_temp_path c;\n    \
                 uwsgi_temp_path d;\n    scgi_temp_path e;\n",
            );
        let file = directory.path().join("nginx.conf");
        fs::write(&file, settings).expect("the directory is ours");
        let mut child = Command::new(program())
            .args(["-e", "stderr", "-g", "daemon off;", "-p"])
            .arg(directory.path())
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("nginx runs");
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let ended = child.try_wait().expect("it is our child");
            assert!(ended.is_none(), "nginx ended: {ended:?}");
            assert!(Instant::now() < deadline, "nginx does not start");
            std::thread::sleep(Duration::from_millis(5));
        }
        Some(Self {
            port,
            child,
            _directory: directory,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> PathBuf {
    let unpacked = source::package().join("target/tools/nginx");
    let installed = ["/usr/sbin/nginx", "/usr/bin/nginx"].map(Path::new);
    let found = [&*unpacked]
        .into_iter()
        .chain(installed)
        .find(|path| path.is_file());
    let found = found.expect(
        "this test needs nginx: `sh tests/all.sh` unpacks Debian's package `nginx`, or install it, or set \
         KEYWARD_TEST_NGINX=skip",
    );
    found.to_owned()
}
