//! Through a real admin listener and straight on its database: the same bytes.

use keyward::key::UnixTime;
use rstest::rstest;

use super::shell::{Ran, Shell};
use crate::support::admin::{TOKEN, TestAdmin};

/// One database, and a shell for each way to it.
struct Both {
    admin: TestAdmin,
    remote: Shell,
    url: String,
}

impl Both {
    async fn start() -> Self {
        let admin = TestAdmin::start().await;
        let remote = Shell::new()
            .with("KEYWARD_URL", &format!("http://{}", admin.address))
            .with("KEYWARD_API_KEY", TOKEN);
        let url = admin.database.config.url.clone();
        Self { admin, remote, url }
    }

    /// Runs `args` through the listener. The tests run on several threads, so that it can answer meanwhile.
    fn remote(&self, args: &[&str]) -> Ran {
        tokio::task::block_in_place(|| self.remote.run(args))
    }

    /// Runs `args` on the database.
    fn direct(&self, args: &[&str]) -> Ran {
        let args: Vec<&str> = args
            .iter()
            .copied()
            .chain(["--database", &self.url])
            .collect();
        tokio::task::block_in_place(|| Shell::new().run(&args))
    }
}

/// `ran` without what is new every time: keys, prefixes, ids.
fn fixed(ran: &Ran) -> Ran {
    let fix = |text: &str| {
        let mut fixed = String::new();
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        for word in text.split_inclusive(|c: char| !is_part(c)) {
            let bare = word.trim_end_matches(|c: char| !is_part(c));
            let stands_for = match bare.len() {
                50 if bare.starts_with("kw_") => "<key>",
                11 if bare.starts_with("kw_") => "<prefix>",
                36 if bare.matches('-').count() == 4 => "<id>",
                _ => bare,
            };
            fixed.push_str(stands_for);
            fixed.push_str(&word[bare.len()..]);
        }
        fixed
    };
    Ran {
        code: ran.code,
        out: fix(&ran.out),
        err: fix(&ran.err),
    }
}

/// Keys of every sort: made by both ways, used, expired, scoped to nothing, of a type from the future, with names that
/// are hard to show.
async fn populate(both: &Both) {
    for args in [
        &["org", "team", "create", "--name", "ops \u{1f680}"][..],
        &[
            "org", "api-key", "create", "--type", "personal", "--name", "東京",
        ],
        &[
            "org",
            "api-key",
            "create",
            "--type",
            "workspace-manage-all",
            "--team",
            "ops \u{1f680}",
        ],
        &[
            "org",
            "api-key",
            "create",
            "--type",
            "workspace-export-metrics",
            "--model-id",
            "m1",
        ],
    ] {
        let ran = both.direct(args);
        assert_eq!(ran.code, Some(0), "{ran}");
    }
    let args = [
        "org",
        "api-key",
        "create",
        "--type",
        "workspace-invoke",
        "--name",
        "a \"b\" <c>",
    ];
    let scoped = ["--model-id", "meta/*", "--model-id", "m1"];
    let ran = both.remote(&[&args[..], &scoped[..]].concat());
    assert_eq!(ran.code, Some(0), "{ran}");
    both.admin.database.insert_many(2).await;
    both.admin
        .database
        .by_hand(
            "UPDATE api_keys SET scope = '[]', category = 'WORKSPACE_FUTURE' WHERE prefix = 'many_1';
             UPDATE api_keys SET category = 'PERSONAL', name = 'of nobody', expires_at = 1 WHERE prefix = 'many_2'",
        )
        .await;
    let used = both.admin.database.fill().await[0].id;
    let moment = UnixTime::from_secs(1_800_000_000);
    let noted = both
        .admin
        .database
        .store
        .record_last_used(&[(used, moment)])
        .await;
    noted.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_listed_is_the_same_to_the_byte() {
    let both = Both::start().await;
    for populated in [false, true] {
        if populated {
            populate(&both).await;
        }
        for what in ["api-key", "team"] {
            for form in ["text", "json", "jsonl", "none"] {
                let args = ["org", what, "list", "-o", form];
                assert_eq!(both.remote(&args), both.direct(&args), "{what} as {form}");
            }
            let args = [
                "org",
                what,
                "list",
                "-rq",
                ".[] | .[] | [.[] | strings] | @csv",
            ];
            let remote = both.remote(&args);
            assert_eq!(remote, both.direct(&args));
            assert_eq!(remote.out.is_empty(), !populated && what == "api-key");
        }
    }
    let lines = both.remote(&["org", "api-key", "list"]).out.lines().count();
    assert_eq!(lines, 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_made_and_deleted_is_told_in_the_same_words() {
    let (one, other) = (Both::start().await, Both::start().await);
    let create = ["org", "api-key", "create", "--type", "workspace-invoke"];
    for (number, form) in ["text", "json", "jsonl", "none"].into_iter().enumerate() {
        let name = format!("key {number}");
        let args = [&create[..], &["--name", &name, "-o", form]].concat();
        assert_eq!(fixed(&one.remote(&args)), fixed(&other.direct(&args)));
        let args = ["org", "team", "create", "--name", &name, "-o", form];
        // The moment comes first among the members, and differs.
        let fixed_time = |ran: Ran| {
            let ran = fixed(&ran);
            let out = ran
                .out
                .split("created_at")
                .next()
                .unwrap_or_default()
                .to_owned();
            Ran { out, ..ran }
        };
        assert_eq!(
            fixed_time(one.remote(&args)),
            fixed_time(other.direct(&args))
        );
    }
}

/// The key's prefix, of the only key.
fn prefix(both: &Both) -> String {
    let args = ["org", "api-key", "list", "-rq", ".keys[0].prefix"];
    both.remote(&args).out.trim_end().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_rotated_and_switched_in_the_same_words() {
    let (one, other) = (Both::start().await, Both::start().await);
    let create = [
        "org", "api-key", "create", "--type", "personal", "-o", "none",
    ];
    assert_eq!(one.remote(&create).code, Some(0));
    assert_eq!(other.direct(&create).code, Some(0));
    for form in ["text", "json", "jsonl", "none"] {
        for action in ["rotate", "disable", "enable"] {
            let (at_one, at_other) = (prefix(&one), prefix(&other));
            let remote = one.remote(&["org", "api-key", action, &at_one, "-o", form]);
            let direct = other.direct(&["org", "api-key", action, &at_other, "-o", form]);
            let at_one = prefix(&one);
            // The moments differ by a second or two.
            let listed = [
                "org",
                "api-key",
                "list",
                "--wide",
                "-q",
                ".keys[0].disabled_at != null",
            ];
            let is_off = one.remote(&listed);
            assert_eq!(is_off, other.direct(&listed));
            assert_eq!(
                is_off.out,
                if action == "disable" {
                    "true\n"
                } else {
                    "false\n"
                }
            );
            assert_eq!(
                without_times(&remote),
                without_times(&direct),
                "{action} as {form}"
            );
            assert_eq!(remote.code, Some(0), "{remote} {at_one}");
        }
    }
}

/// `ran` without what is new every time, moments among it.
fn without_times(ran: &Ran) -> Ran {
    let fix = |text: &str| {
        let words = text.split('"');
        let fixed = words.map(|word| {
            if word.len() == 20 && word.ends_with('Z') {
                "<time>"
            } else {
                word
            }
        });
        fixed.collect::<Vec<_>>().join("\"")
    };
    let ran = fixed(ran);
    Ran {
        out: fix(&ran.out),
        ..ran
    }
}

#[rstest]
#[case::no_key_to_rotate(&["org", "api-key", "rotate", "kw_aaaaaaaa"], 4, "there is no such key")]
#[case::no_key_to_switch(&["org", "api-key", "disable", "a/../b"], 4, "there is no such key")]
#[case::no_such_key(&["org", "api-key", "delete", "--prefix", "kw_aaaaaaaa"], 4, "there is no such key")]
#[case::no_prefix(&["org", "api-key", "delete", "--prefix", "a/../b"], 4, "there is no such key")]
#[case::no_such_name(&["org", "api-key", "delete", "--name", "nobody"], 1, "no API key named \"nobody\"")]
#[case::taken(&["org", "api-key", "create", "--type", "personal", "--name", "taken"], 5, "exists already")]
#[case::taken_team(&["org", "team", "create", "--name", "default"], 5, "exists already")]
#[case::long_name(&["org", "api-key", "create", "--type", "personal", "--name", "a\nb"], 5, "a name has 1 to 200 characters")]
#[case::pattern(&["org", "api-key", "create", "--type", "workspace-invoke", "--model-id", "a*b"], 5, "may stand only at the end")]
#[case::empty_model(&["org", "api-key", "create", "--type", "workspace-invoke", "--model-id", ""], 5, "a model id has 1 to 256 bytes")]
#[case::no_such_team(&["org", "api-key", "create", "--type", "personal", "--team", "x"], 1, "no team matched \"x\"")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_has_the_same_exit_code_and_reason(
    #[case] args: &[&str],
    #[case] code: i32,
    #[case] reason: &str,
) {
    let both = Both::start().await;
    let taken = [
        "org", "api-key", "create", "--type", "personal", "--name", "taken",
    ];
    assert_eq!(both.remote(&taken).code, Some(0));
    for ran in [both.remote(args), both.direct(args)] {
        assert_eq!((ran.code, ran.out.as_str()), (Some(code), ""), "{ran}");
        let told = ran.err.replace("\\\"", "\"");
        assert!(told.contains(reason), "{ran}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_credential_is_refused_and_a_login_with_the_right_one_is_kept() {
    let both = Both::start().await;
    let shell = Shell::new().with("KEYWARD_URL", &format!("http://{}", both.admin.address));
    let login = |key: &str| {
        tokio::task::block_in_place(|| shell.feed(&["profile", "login"], key.as_bytes()))
    };
    let refused = login("kw_nonsense");
    assert_eq!(
        (refused.code, refused.out.as_str()),
        (Some(3), ""),
        "{refused}"
    );
    assert!(
        refused
            .err
            .starts_with("logging in: keyward API error (HTTP 401): {"),
        "{refused}"
    );
    assert_eq!(login(TOKEN).code, Some(0));
    let ran = tokio::task::block_in_place(|| shell.line("org api-key list"));
    assert_eq!(ran, Ran::new(0, "", "No API keys found.\n"));
}
