//! The proxies: each as a process with a core for each worker, told to do the same.
//!
//! The job: read `Authorization: Bearer K` or `Api-Key K` without regard to the scheme's case; 401 without a known key;
//! 403 unless the key may call the model in `/models/{model}/predict`; take the key off; forward over a connection that
//! is kept. The relay alone does none of it: it passes bytes on, as `HAProxy` does in `mode tcp`.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::address::free_address;
use crate::load::{Ask, Caller, Target, key};

/// Which proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Keyward,
    Nginx,
    Haproxy,
    Envoy,
    Relay,
}

/// How callers speak to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listens {
    Plain,
    Http2,
    Tls,
}

/// What every proxy is told.
pub struct World {
    /// For files.
    pub place: PathBuf,
    /// Where the programs are that `tools.sh` got.
    pub tools: PathBuf,
    /// The program of ours.
    pub keyward: PathBuf,
    pub model: SocketAddr,
    /// How many keys there are.
    pub keys: usize,
    pub workers: usize,
    /// The program that runs and watches the proxy, and its arguments; empty where it runs by itself.
    pub under: Vec<String>,
    /// The database of ours, by its URL, in place of a file for each number of keys.
    pub store: Option<String>,
    /// What callers trust.
    pub trust: Arc<rustls::ClientConfig>,
}

/// A proxy that runs; ended when dropped.
pub struct Peer {
    pub target: Target,
    /// From its start until the first call was allowed.
    pub started_in: Duration,
    /// Where keyward says whether it is ready.
    probes: SocketAddr,
    began: Instant,
    process: Child,
}

impl Kind {
    pub const ALL: [Self; 5] = [
        Self::Nginx,
        Self::Keyward,
        Self::Haproxy,
        Self::Envoy,
        Self::Relay,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Keyward => "keyward",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Envoy => "Envoy",
            Self::Relay => "a TCP relay (HAProxy)",
        }
    }

    fn program(self, world: &World) -> PathBuf {
        let tools = &world.tools;
        match self {
            Self::Keyward => world.keyward.clone(),
            Self::Nginx => tools.join("nginx/usr/sbin/nginx"),
            Self::Haproxy | Self::Relay => tools.join("haproxy/usr/sbin/haproxy"),
            Self::Envoy => tools.join("envoy/envoy/_bin/envoy"),
        }
    }

    /// Whether callers can speak to it so.
    pub fn speaks(self, listens: Listens) -> bool {
        self != Self::Relay || listens == Listens::Plain
    }

    /// Its version, or nothing when it is not there or does not run.
    pub fn version(self, world: &World) -> Option<String> {
        let asks = match self {
            Self::Nginx | Self::Haproxy | Self::Relay => "-v",
            Self::Keyward | Self::Envoy => "--version",
        };
        let told = self.command(world).arg(asks).output().ok()?;
        let text = [told.stdout, told.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let mut parts = text.split(|sign: char| !(sign.is_ascii_digit() || sign == '.'));
        let version = parts.find(|part| part.split('.').count() == 3 && !part.starts_with('.'));
        version.map(|version| version.trim_end_matches('.').to_owned())
    }

    fn command(self, world: &World) -> Command {
        let mut command = Command::new(self.program(world));
        let libraries = world.tools.join("haproxy/usr/lib/x86_64-linux-gnu");
        command.env("LD_LIBRARY_PATH", libraries);
        command
    }

    /// Starts it on the first cores, and waits until it forwards. Nothing when that takes more than three minutes, or it
    /// does not speak so.
    pub async fn start(self, world: &World, listens: Listens) -> Option<Peer> {
        if !self.speaks(listens) {
            return None;
        }
        let World { keys, workers, .. } = world;
        let place = format!("{self:?}-{listens:?}-{keys}-{workers}");
        let place = world.place.join(place);
        fs::create_dir_all(&place).expect("the directory is ours");
        let [address, probes] = [(); 2].map(|()| free_address());
        let job = Job {
            world,
            place: &place,
            address,
            probes,
            listens,
        };
        let mut parts = match self {
            Self::Keyward => job.keyward(),
            Self::Nginx => job.nginx(),
            Self::Haproxy => job.haproxy(),
            Self::Envoy => job.envoy(),
            Self::Relay => job.relay(),
        };
        let program = self.program(world);
        let program = program.to_str().expect("a path of ours is text");
        parts.insert(0, program.to_owned());
        let log = fs::File::create(place.join("log")).expect("the directory is ours");
        let began = Instant::now();
        // In a session of its own, as a service has it: in ours it would have its processor's time in one share with the callers'
        // and the model server's, against what the kernel does there for the network. It ends with us.
        let process = Command::new("setsid")
            .args(["setpriv", "--pdeathsig", "TERM"])
            .args(["taskset", "-c", &format!("0-{}", workers - 1)])
            .args(&world.under)
            .args(parts)
            .env(
                "LD_LIBRARY_PATH",
                world.tools.join("haproxy/usr/lib/x86_64-linux-gnu"),
            )
            .env("KEYWARD_ADMIN__TOKEN", "kwadmin_the-token-of-this-bench")
            .current_dir(&place)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .ok()?;
        let target = Target {
            address,
            tls: (listens == Listens::Tls).then(|| Arc::clone(&world.trust)),
        };
        let mut peer = Peer {
            target,
            started_in: Duration::ZERO,
            probes,
            began,
            process,
        };
        let answers = async {
            while !peer.forwards(listens).await {
                if peer.process.try_wait().is_ok_and(|ended| ended.is_some()) {
                    return None;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Some(())
        };
        tokio::time::timeout(Duration::from_mins(3), answers)
            .await
            .ok()??;
        peer.started_in = began.elapsed();
        Some(peer)
    }
}

impl Peer {
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// How long after its start keyward says that it is ready, with every key in memory; nothing when that takes minutes.
    pub async fn ready_in(&self) -> Option<Duration> {
        let ready = async {
            while !self.is_ready().await.unwrap_or(false) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_mins(3), ready).await;
        waited.ok().map(|()| self.began.elapsed())
    }

    async fn is_ready(&self) -> io::Result<bool> {
        let mut stream = TcpStream::connect(self.probes).await?;
        let ask = "GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(ask.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(answer.starts_with(b"HTTP/1.1 200"))
    }

    async fn forwards(&self, listens: Listens) -> bool {
        let ask = Ask::Small { keys: 1 };
        if listens == Listens::Http2 {
            let time = Duration::from_millis(5);
            let done = crate::load::http2(&self.target, ask, 1, 1, time).await;
            return done.is_ok_and(|done| done.calls > 0);
        }
        Caller::new(&self.target, ask, 0).call().await.is_ok()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Whoever is asked to end writes down what it has learnt.
        let pid = i32::try_from(self.process.id())
            .ok()
            .and_then(Pid::from_raw);
        let asked = pid.map(|pid| kill_process(pid, Signal::TERM));
        let until = Instant::now() + Duration::from_secs(10);
        while asked.is_some() && Instant::now() < until {
            if let Ok(Some(_)) = self.process.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What one proxy is to do, in its own words.
struct Job<'w> {
    world: &'w World,
    place: &'w Path,
    address: SocketAddr,
    probes: SocketAddr,
    listens: Listens,
}

impl Job<'_> {
    fn write(&self, name: &str, text: &str) {
        fs::write(self.place.join(name), text).expect("the directory is ours");
    }

    fn keys(&self) -> impl Iterator<Item = String> {
        (0..self.world.keys).map(key)
    }

    fn certificate(&self, name: &str) -> String {
        self.world.place.join(name).display().to_string()
    }

    fn keyward(&self) -> Vec<String> {
        let file = self.world.place.join(format!("{}.db", self.world.keys));
        let store = self.world.store.clone();
        let store = store.unwrap_or_else(|| format!("sqlite://{}", file.display()));
        if self.world.store.is_some() || !file.exists() {
            self.import(&store);
        }
        let tls = match self.listens {
            Listens::Tls => format!(
                "[proxy.tls]\ncertificate = \"{}\"\nkey = \"{}\"\n",
                self.certificate("tls.crt"),
                self.certificate("tls.key")
            ),
            Listens::Plain | Listens::Http2 => String::new(),
        };
        let text = format!(
            "[proxy]\nlisten = \"{}\"\nworkers = {}\n{tls}[[proxy.routes]]\npath = \"/models/{{model}}/predict\"\n\
             upstream = \"model\"\n[upstreams.model]\nurl = \"http://{}\"\n[probes]\nlisten = \"{}\"\n[admin]\n\
             listen = \"{}\"\n[store]\nurl = \"{store}\"\n[cache]\nkeys = {}\n",
            self.address,
            self.world.workers,
            self.world.model,
            self.probes,
            free_address(),
            self.world.keys * 2,
        );
        self.write("keyward.toml", &text);
        ["serve", "--config", "keyward.toml"]
            .map(str::to_owned)
            .into()
    }

    fn import(&self, store: &str) {
        let mut text = String::from("digest,prefix,type,model_ids\n");
        for (number, key) in self.keys().enumerate() {
            let digest = keyward::key::KeyDigest::of(key.as_bytes()).to_hex();
            writeln!(
                text,
                "{digest},old-{number},WORKSPACE_INVOKE,\"[\"\"llama\"\"]\""
            )
            .expect("memory takes it");
        }
        self.write("keys.csv", &text);
        for words in [
            &["database", "migrate"][..],
            &["org", "api-key", "import", "keys.csv", "--format", "csv"],
        ] {
            let done = Command::new("taskset")
                .args(["-c", "0-1"])
                .arg(&self.world.keyward)
                .current_dir(self.place)
                .args(["--database", store])
                .args(words)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            assert!(
                done.is_ok_and(|status| status.success()),
                "the keys are imported"
            );
        }
    }

    fn nginx(&self) -> Vec<String> {
        let mut map = String::new();
        for key in self.keys() {
            writeln!(map, "{key} llama;").expect("memory takes it");
        }
        self.write("keys.map", &map);
        let how = match self.listens {
            Listens::Plain => "",
            Listens::Http2 => " http2",
            Listens::Tls => " ssl",
        };
        let text = format!(
            "daemon off;\nworker_processes {};\npid nginx.pid;\nerror_log stderr warn;\n\
             events {{ worker_connections 4096; }}\n\
             http {{\n  access_log off;\n  map_hash_bucket_size 256;\n  map_hash_max_size {};\n  \
             client_body_temp_path body;\n  proxy_temp_path proxy;\n  fastcgi_temp_path f;\n  uwsgi_temp_path u;\n  \
             scgi_temp_path s;\n  keepalive_requests 100000000;\n  tcp_nodelay on;\n  \
             ssl_certificate {};\n  ssl_certificate_key {};\n  ssl_session_cache off;\n  ssl_session_tickets off;\n  \
             map $http_authorization $presented {{\n    \"~*^(?:bearer|api-key) +(?<k>[^ ]+)$\" $k;\n    default \"\";\n  }}\n  \
             map $presented $may {{\n    include keys.map;\n    default \"\";\n  }}\n  \
             upstream model {{ server {}; keepalive 256; keepalive_requests 100000000; }}\n  \
             server {{\n    listen {}{how};\n    \
             location ~ ^/models/(?<model>[^/]+)/predict$ {{\n      if ($may = \"\") {{ return 401; }}\n      \
             if ($may != $model) {{ return 403; }}\n      proxy_http_version 1.1;\n      \
             proxy_set_header Connection \"\";\n      proxy_set_header Authorization \"\";\n      \
             proxy_pass http://model;\n    }}\n  }}\n}}\n",
            self.world.workers,
            (self.world.keys * 2).max(2048),
            self.certificate("tls.crt"),
            self.certificate("tls.key"),
            self.world.model,
            self.address,
        );
        self.write("nginx.conf", &text);
        vec![
            "-p".into(),
            self.place.display().to_string(),
            "-c".into(),
            "nginx.conf".into(),
        ]
    }

    fn haproxy(&self) -> Vec<String> {
        let mut map = String::new();
        for key in self.keys() {
            writeln!(map, "{key} llama").expect("memory takes it");
        }
        self.write("keys.map", &map);
        let how = match self.listens {
            Listens::Plain => String::new(),
            Listens::Http2 => " proto h2".to_owned(),
            Listens::Tls => format!(" ssl crt {}", self.certificate("both.pem")),
        };
        let text = format!(
            "global\n  nbthread {}\n  maxconn 8192\ndefaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  \
             timeout server 60s\n  option http-no-delay\nfrontend callers\n  bind {}{how}\n  \
             http-request set-var(txn.key) req.hdr(authorization),field(2,' ') \
             if {{ req.hdr(authorization),field(1,' '),lower -m str bearer api-key }}\n  \
             http-request set-var(txn.may) var(txn.key),map_str(keys.map)\n  \
             http-request set-var(txn.model) path,field(3,/)\n  \
             http-request return status 401 unless {{ var(txn.may) -m found }}\n  \
             http-request return status 403 unless {{ var(txn.may),strcmp(txn.model) eq 0 }}\n  \
             http-request return status 404 unless {{ path,field(4,/) predict }}\n  \
             http-request del-header authorization\n  default_backend models\n\
             backend models\n  http-reuse always\n  server model {}\n",
            self.world.workers, self.address, self.world.model,
        );
        self.write("haproxy.cfg", &text);
        ["-f", "haproxy.cfg"].map(str::to_owned).into()
    }

    fn relay(&self) -> Vec<String> {
        let text = format!(
            "global\n  nbthread {}\n  maxconn 8192\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  \
             timeout server 60s\nlisten callers\n  bind {}\n  server model {}\n",
            self.world.workers, self.address, self.world.model,
        );
        self.write("haproxy.cfg", &text);
        ["-f", "haproxy.cfg"].map(str::to_owned).into()
    }

    fn envoy(&self) -> Vec<String> {
        let mut credentials = String::new();
        for key in self.keys() {
            let line = format!("                        - {{ key: {key}, client: llama }}\n");
            credentials.push_str(&line);
        }
        let tls = match self.listens {
            Listens::Tls => format!(
                "          transport_socket:\n            name: tls\n            typed_config:\n              \
                 \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext\n              \
                 common_tls_context:\n                tls_certificates:\n                  \
                 - {{ certificate_chain: {{ filename: {} }}, private_key: {{ filename: {} }} }}\n",
                self.certificate("tls.crt"),
                self.certificate("tls.key")
            ),
            Listens::Plain | Listens::Http2 => String::new(),
        };
        let port = |address: SocketAddr| {
            format!(
                "{{ socket_address: {{ address: 127.0.0.1, port_value: {} }} }}",
                address.port()
            )
        };
        let text = include_str!("envoy.yaml")
            .replace("LISTEN", &port(self.address))
            .replace("MODEL", &port(self.world.model))
            .replace("          TLS\n", &tls)
            .replace("                  CREDENTIALS\n", &credentials);
        self.write("envoy.yaml", &text);
        [
            "-c",
            "envoy.yaml",
            "--concurrency",
            &self.world.workers.to_string(),
            "--log-level",
            "error",
            "--use-dynamic-base-id",
        ]
        .map(str::to_owned)
        .into()
    }
}
