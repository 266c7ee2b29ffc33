//! Random lives of keys against a model, while connections break and sidecars die.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use keyward::key::{KeySelector, KeyUpdate, ModelScope};
use keyward::store::KeyStore;
use sqlx::postgres::PgConnection;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use xxhash_rust::xxh3::xxh3_64;

use crate::fleet::{Fleet, Key, KeyMaker};
use crate::revoke::delete_by_sql;
use crate::tell;
use crate::wire::{Caller, call};

/// Of a full drill: 10,000.
const LIVES_PER_SHARE: u64 = 50;
/// Lives at the same time.
const ABREAST: usize = 32;
/// How long an answer may be that of an earlier state.
const BOUND: Duration = Duration::from_millis(1200);
const MODELS: [&str; 2] = ["llama", "mistral"];

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Unknown,
    Scoped([bool; 2]),
}

impl State {
    /// The answer to a call of that model.
    fn answer(self, model: usize) -> u16 {
        match self {
            Self::Unknown => 401,
            Self::Scoped(models) if models[model] => 200,
            Self::Scoped(_) => 403,
        }
    }
}

/// A state, and by when it had begun.
#[derive(Debug, Clone, Copy)]
struct Began {
    by: Instant,
    state: State,
}

/// What was found out.
#[derive(Debug, Default)]
struct Findings {
    answers: u64,
    /// 503, or no answer: where a sidecar was just started, or dead.
    unavailable: u64,
    wrongly_accepted: u64,
    wrongly_refused: u64,
    /// The longest that an earlier state was in force.
    latest: Duration,
    examples: Vec<String>,
}

/// What all lives share.
struct World {
    keys: KeyMaker,
    store: Arc<dyn KeyStore>,
    session: Mutex<PgConnection>,
    addresses: Vec<SocketAddr>,
    findings: Mutex<Findings>,
    begun: AtomicU64,
    lives: u64,
}

/// Draws numbers that are the same at every run.
struct Dice {
    life: u64,
    thrown: u64,
}

impl Dice {
    /// A number below `sides`.
    fn throw(&mut self, sides: u64) -> u64 {
        self.thrown += 1;
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.life.to_le_bytes());
        bytes[8..].copy_from_slice(&self.thrown.to_le_bytes());
        xxh3_64(&bytes) % sides
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.throw(length as u64)).expect("below a usize")
    }
}

/// All lives, and what was found.
pub async fn run(share: u32) {
    let lives = LIVES_PER_SHARE * u64::from(share);
    let mut fleet = Fleet::start(3, "").await;
    let world = Arc::new(World {
        keys: fleet.keys.clone(),
        store: Arc::clone(&fleet.store),
        session: Mutex::new(fleet.session().await),
        addresses: fleet.sidecars.iter().map(|each| each.proxy).collect(),
        findings: Mutex::default(),
        begun: AtomicU64::new(0),
        lives,
    });
    let begun = Instant::now();
    let mut living = JoinSet::new();
    for _ in 0..ABREAST {
        living.spawn(live_again_and_again(Arc::clone(&world)));
    }
    let done = AtomicBool::new(false);
    let ended = async {
        living.join_all().await;
        done.store(true, Ordering::Relaxed);
    };
    let (disturbed, ()) = tokio::join!(disturb(&mut fleet, &done), ended);
    let found = world.findings.lock().await;
    tell(&format!(
        "\n## {lives} random lives of keys, {ABREAST} at a time, in {:.0?}\n\n\
         {} answers held against the model. Meanwhile {} times the listeners' sessions were ended, {} times the bell was \
         black-holed for two seconds, {} times a sidecar was killed and started again.\n\n\
         | accepted after {BOUND:.1?} | live key refused after {BOUND:.1?} | longest that an earlier state was in force \
         | 503 or no answer |\n|---|---|---|---|\n| {} | {} | {:.1?} | {} |",
        begun.elapsed(),
        found.answers,
        disturbed[0],
        disturbed[1],
        disturbed[2],
        found.wrongly_accepted,
        found.wrongly_refused,
        found.latest,
        found.unavailable,
    ));
    for example in &found.examples {
        tell(example);
    }
}

/// Breaks something again and again until all is done; how often what.
async fn disturb(fleet: &mut Fleet, done: &AtomicBool) -> [u32; 3] {
    let mut dice = Dice {
        life: u64::MAX,
        thrown: 0,
    };
    let mut session = fleet.session().await;
    let mut times = [0; 3];
    while !done.load(Ordering::Relaxed) {
        sleep(Duration::from_millis(500 + dice.throw(2_000))).await;
        let what = dice.index(3);
        times[what] += 1;
        match what {
            0 => {
                let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'";
                let ended = sqlx::query(end).execute(&mut session).await;
                ended.expect("an administrator may end sessions");
            }
            1 => {
                fleet.bell.block(true);
                sleep(Duration::from_secs(2)).await;
                fleet.bell.block(false);
            }
            _ => {
                let number = dice.index(fleet.sidecars.len());
                let sidecar = &mut fleet.sidecars[number];
                sidecar.kill();
                sidecar.start();
                sidecar.until_ready().await;
            }
        }
    }
    times
}

async fn live_again_and_again(world: Arc<World>) {
    let mut callers: Vec<Caller> = world.addresses.iter().copied().map(Caller::new).collect();
    loop {
        let life = world.begun.fetch_add(1, Ordering::Relaxed);
        if life >= world.lives {
            return;
        }
        live(&world, &mut callers, Dice { life, thrown: 0 }).await;
    }
}

/// One key from its creation to some time after its end, if it has one.
async fn live(world: &World, callers: &mut [Caller], mut dice: Dice) {
    let mut models = [true, dice.throw(2) == 0];
    let begun = Instant::now();
    let key = world.keys.create(&named(models)).await;
    let mut history = vec![
        Began {
            by: begun,
            state: State::Unknown,
        },
        Began {
            by: Instant::now(),
            state: State::Scoped(models),
        },
    ];
    for _ in 0..4 + dice.throw(12) {
        let state = match dice.throw(10) {
            0 => {
                models = [!models[0], true];
                rescope(world, &key, models).await;
                State::Scoped(models)
            }
            1 => {
                delete_by_sql(&mut *world.session.lock().await, &key).await;
                State::Unknown
            }
            2 => {
                let deleted = world.store.delete(&selector(&key)).await;
                deleted.expect("the key is there");
                State::Unknown
            }
            3 | 4 => {
                sleep(Duration::from_millis(dice.throw(200))).await;
                continue;
            }
            _ => {
                verify(world, callers, &key, &history, &mut dice).await;
                continue;
            }
        };
        history.push(Began {
            by: Instant::now(),
            state,
        });
        if state == State::Unknown {
            break;
        }
    }
    for _ in 0..6 {
        verify(world, callers, &key, &history, &mut dice).await;
        sleep(Duration::from_millis(dice.throw(40))).await;
    }
}

/// One call somewhere, held against everything that the key was and is.
async fn verify(
    world: &World,
    callers: &mut [Caller],
    key: &Key,
    history: &[Began],
    dice: &mut Dice,
) {
    let model = dice.index(MODELS.len());
    let where_to = dice.index(callers.len());
    let request = call(MODELS[model], &key.text);
    let sent = Instant::now();
    let answer = callers[where_to].send(request.as_bytes());
    let answer = timeout(Duration::from_secs(5), answer).await;
    let got = answer.ok().and_then(Result::ok).unwrap_or(503);
    let mut found = world.findings.lock().await;
    found.answers += 1;
    if !matches!(got, 200 | 401 | 403) {
        found.unavailable += 1;
        return;
    }
    let late = lateness(history, sent, model, got);
    found.latest = found.latest.max(late.unwrap_or_default());
    if late.is_some_and(|late| late <= BOUND) {
        return;
    }
    if got == 200 {
        found.wrongly_accepted += 1;
    } else {
        found.wrongly_refused += 1;
    }
    if found.examples.len() < 10 {
        let states: Vec<String> = history
            .iter()
            .map(|began| {
                let ago = sent.saturating_duration_since(began.by);
                format!("{:?} since {ago:.1?}", began.state)
            })
            .collect();
        let life = dice.life;
        let example = format!(
            "life {life}, sidecar {where_to}, model {model}: {got}, late {late:?}; {states:?}"
        );
        found.examples.push(example);
    }
}

/// How long before a call was sent the latest state had ended that it could have been answered by; nothing when the key
/// was never in one.
fn lateness(history: &[Began], sent: Instant, model: usize, got: u16) -> Option<Duration> {
    let fits = |place: &usize| history[*place].state.answer(model) == got;
    let latest = (0..history.len()).rev().find(fits)?;
    let next = history.get(latest + 1);
    Some(next.map_or(Duration::ZERO, |next| {
        sent.saturating_duration_since(next.by)
    }))
}

fn named(models: [bool; 2]) -> Vec<&'static str> {
    let named = MODELS.into_iter().zip(models);
    named
        .filter_map(|(name, may)| may.then_some(name))
        .collect()
}

fn selector(key: &Key) -> KeySelector {
    KeySelector::Prefix(key.prefix.parse().expect("a prefix"))
}

async fn rescope(world: &World, key: &Key, models: [bool; 2]) {
    let update = KeyUpdate {
        scope: Some(ModelScope::from_request(Some(&named(models))).expect("model ids")),
        ..KeyUpdate::default()
    };
    let updated = world.store.update(&selector(key), &update).await;
    updated.expect("the key is there");
}
