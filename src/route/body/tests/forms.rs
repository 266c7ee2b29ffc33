//! Forms, and what each comes to. In the rows `~` is a line end and `B` the boundary.

use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn read<'p>(
    boundary: &str,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> Result<String, BodyFault> {
    let mut scanner = FormScanner::new(boundary);
    for piece in pieces {
        scanner.push(piece)?;
    }
    scanner.finish().map(str::to_owned)
}

const NAMED: &[(&str, &str)] = &[
    (
        "m1",
        r#"--B~Content-Disposition: form-data; name="model"~~m1~--B--"#,
    ),
    (
        "m1",
        r#"--B~Content-Disposition: form-data; name="model"~~m1~--B--~"#,
    ),
    (
        "m1",
        r#"--B~content-disposition:form-data;name="model"~~m1~--B--"#,
    ),
    (
        "m1",
        r#"--B~CONTENT-DISPOSITION: Form-Data; NAME="model"~~m1~--B--"#,
    ),
    (
        "m1",
        r"--B~Content-Disposition: form-data; name=model~~m1~--B--",
    ),
    (
        "m1",
        r#"--B~Content-Disposition: form-data; name="model"~Content-Type: text/plain~~m1~--B--"#,
    ),
    (
        "m1",
        r#"--B~Content-Disposition: form-data; name="model"~Content-Type: text/plain; charset=UTF-8~~m1~--B--"#,
    ),
    (
        "m1",
        r#"--B~Content-Type: text/plain~Content-Disposition: form-data; name="model"~~m1~--B--"#,
    ),
    (
        "m1",
        r#"--B~Content-Disposition: form-data; name="model"~Content-Length: 2~~m1~--B--"#,
    ),
    (
        "m1",
        r#"--B~Content-Disposition: form-data; name="model"~Content-Transfer-Encoding: 8bit~~m1~--B--"#,
    ),
    (
        "m1",
        r#"--B~Content-Disposition: form-data; name="a"~~x~--B~Content-Disposition: form-data; name="model"~~m1~--B--"#,
    ),
    (
        "m1",
        r#"--B~Content-Disposition: form-data; name="model"~~m1~--B~Content-Disposition: form-data; name="a"~~x~--B--"#,
    ),
    (
        "m1",
        r#"--B~Content-Disposition: form-data; name="file"; filename="a.wav"~Content-Type: audio/wav~~RIFF~~x~-~--~--A~--B~Content-Disposition: form-data; name="model"~~m1~--B--"#,
    ),
    (
        "m1",
        r#"--B~Content-Disposition: form-data; name="file"; filename="C:\a.wav"~~x~--B~Content-Disposition: form-data; name="model"~~m1~--B--"#,
    ),
    (
        "m1",
        r#"--B~Content-Disposition: form-data; name="file"; filename="a; name=x"; filename*=utf-8''a~~x~--B~Content-Disposition: form-data; name="model"~~m1~--B--"#,
    ),
    (
        "m1",
        r#"--B~Content-Disposition: form-data; name="a"~~~--B~Content-Disposition: form-data; name="model"~~m1~--B--"#,
    ),
    (
        "meta/llama",
        r#"--B~Content-Disposition: form-data; name="model"~~meta/llama~--B--"#,
    ),
    (
        "a-b",
        r#"--B~Content-Disposition: form-data; name="model"~~a-b~--B--"#,
    ),
    (
        " m1",
        r#"--B~Content-Disposition: form-data; name="model"~~ m1~--B--"#,
    ),
    (
        "é",
        r#"--B~Content-Disposition: form-data; name="model"~~é~--B--"#,
    ),
    (
        "m1",
        r#"--B~Content-Disposition: form-data; name="models"~~x~--B~Content-Disposition: form-data; name="model"~~m1~--B--"#,
    ),
    (
        "m1",
        r#"--B~Content-Disposition: form-data; name="a[model]"~~x~--B~Content-Disposition: form-data; name="model"~~m1~--B--"#,
    ),
    (
        "m1",
        r#"--B~Content-Disposition: form-data; name="a%20b"~~x~--B~Content-Disposition: form-data; name="model"~~m1~--B--"#,
    ),
    (
        "m1",
        r#"--B~Content-Disposition: form-data; name="é"~~x~--B~Content-Disposition: form-data; name="model"~~m1~--B--"#,
    ),
];

/// The head of the part `model`, its content, and what comes after it, in good order; rows add to it.
const GOOD: &str = r#"--B~Content-Disposition: form-data; name="model"~~m1~"#;

/// Where a row begins with `+`, it comes after [`GOOD`].
const REFUSED: &[(BodyFault, &[&str])] = &[
    (
        BodyFault::NoModel,
        &[
            "--B--",
            r#"--B~Content-Disposition: form-data; name="a"~~x~--B--"#,
            r#"--B~Content-Disposition: form-data; name="a"~~model~--B--~"#,
        ],
    ),
    (
        BodyFault::Repeated,
        &[
            r#"+--B~Content-Disposition: form-data; name="model"~~m2~--B--"#,
            r#"+--B~Content-Disposition: form-data; name="model"~~m1~--B--"#,
            r"+--B~Content-Disposition: form-data; name=model~~m2~--B--",
        ],
    ),
    (
        BodyFault::Respelled,
        &[
            r#"--B~Content-Disposition: form-data; name="Model"~~m1~--B--"#,
            r#"+--B~Content-Disposition: form-data; name="MODEL"~~m2~--B--"#,
            r#"+--B~Content-Disposition: form-data; name="model "~~m2~--B--"#,
            r#"+--B~Content-Disposition: form-data; name=" model"~~m2~--B--"#,
            r#"+--B~Content-Disposition: form-data; name="model[]"~~m2~--B--"#,
            r#"+--B~Content-Disposition: form-data; name="model[0]"~~m2~--B--"#,
            r#"+--B~Content-Disposition: form-data; name="mod%65l"~~m2~--B--"#,
            r#"+--B~Content-Disposition: form-data; name="model%00"~~m2~--B--"#,
            r#"+--B~Content-Disposition: form-data; name="=?utf-8?Q?model?="~~m2~--B--"#,
        ],
    ),
    (
        BodyFault::NotText,
        &[
            r#"--B~Content-Disposition: form-data; name="model"; filename="m"~~m1~--B--"#,
            r#"--B~Content-Disposition: form-data; name="model"; filename=""~~m1~--B--"#,
            r#"--B~Content-Disposition: form-data; name="model"; filename*=utf-8''m~~m1~--B--"#,
            r#"--B~Content-Disposition: form-data; name="model"~Content-Type: application/json~~"m1"~--B--"#,
            r#"--B~Content-Disposition: form-data; name="model"~Content-Type: text/plain; charset=utf-16~~m1~--B--"#,
        ],
    ),
    (
        BodyFault::Unusable,
        &[
            r#"--B~Content-Disposition: form-data; name="model"~~~--B--"#,
            r#"--B~Content-Disposition: form-data; name="model"~~m1~~--B--"#,
            r#"--B~Content-Disposition: form-data; name="model"~~~m1~--B--"#,
            "--B~Content-Disposition: form-data; name=\"model\"~~m\x001~--B--",
            "--B~Content-Disposition: form-data; name=\"model\"~~m1\n~--B--",
        ],
    ),
    (
        BodyFault::NotForm,
        &[
            "",
            "-",
            "--",
            "--B",
            "--B~",
            "--B-",
            "--B~~",
            "--A~x",
            "{}",
            "model=m1",
            "~--B--",
            r#"x~--B~Content-Disposition: form-data; name="model"~~m1~--B--"#,
            r#"~--B~Content-Disposition: form-data; name="model"~~m1~--B--"#,
            r#"-- B~Content-Disposition: form-data; name="model"~~m1~--B--"#,
            r#"--B ~Content-Disposition: form-data; name="model"~~m1~--B--"#,
            r#"--Bx~Content-Disposition: form-data; name="model"~~m1~--B--"#,
            r#"--B~Content-Disposition: form-data; name="model"~~m1"#,
            r#"--B~Content-Disposition: form-data; name="model"~~m1~--B"#,
            r#"+--B~X: name="model"~Content-Disposition: form-data; name="a"~~m2~--B--"#,
            r#"+--B~Content-Disposition: form-data; name="a; name=model"~~m2~--B--"#,
            r#"+--B~Content-Disposition: form-data; filename="a; NAME = model"; name="a"~~m2~--B--"#,
            r#"+--B~Content-Disposition: form-data; name="a"; filename="a; name*=utf-8''model"~~m2~--B--"#,
            r#"+--B~Content-Disposition: form-data; name="a"~X: NAME=model~~m2~--B--"#,
            r#"+--B~Content-Type: text/plain; name="model"~Content-Disposition: form-data; name="a"~~m2~--B--"#,
            "+--B",
            "+--B~",
            "+--B-",
            "+--B--x",
            "+--B--~x",
            "+--B--~~",
            "+--B-- ",
            "+--B--~--B--",
            r#"+--B--~--B~Content-Disposition: form-data; name="model"~~m2~--B--"#,
            "+--B ~Content-Disposition: form-data; name=\"a\"~~x~--B--",
            "+--B~Content-Disposition: form-data; name=\"a\"~~x\n--B~Content-Disposition: form-data; name=\"b\"~~y~--B--",
            "+--B~Content-Disposition: form-data; name=\"a\"~~x\r--B~Content-Disposition: form-data; name=\"b\"~~y~--B--",
            "+--B~Content-Disposition: form-data; name=\"a\"~~x--B~--B--",
            "+--B~Content-Disposition: form-data; name=\"a\"~~x~--Bx~--B--",
            "+--B~Content-Disposition: form-data; name=\"a\"~~--B--",
            "+--B~Content-Disposition: form-data; name=\"a\"~--B--",
            "+--B~~x~--B--",
            "+--B~Content-Type: text/plain~~x~--B--",
            "+--B~Content-Disposition: form-data~~x~--B--",
            "+--B~Content-Disposition: form-data;~~x~--B--",
            "+--B~Content-Disposition: form-data; filename=\"a\"~~x~--B--",
            "+--B~Content-Disposition: attachment; name=\"a\"~~x~--B--",
            "+--B~Content-Disposition: form-data; name=\"a\"; name=\"b\"~~x~--B--",
            "+--B~Content-Disposition: form-data; name=\"a\"; name*=utf-8''model~~x~--B--",
            "+--B~Content-Disposition: form-data; name=\"a\"; other=b~~x~--B--",
            "+--B~Content-Disposition: form-data; name=\"a\";~~x~--B--",
            "+--B~Content-Disposition: form-data; name=\"a~~x~--B--",
            "+--B~Content-Disposition: form-data; name=~~x~--B--",
            "+--B~Content-Disposition: form-data; name='model' ~~x~--B--x",
            "+--B~Content-Disposition: form-data; name=\"a\" b~~x~--B--",
            "+--B~Content-Disposition: form-data; name=\"a\\\"; name=\\\"model\"~~x~--B--",
            "+--B~Content-Disposition: form-data; name=\"mod\\el\"~~x~--B--",
            "+--B~Content-Disposition: form-data; name=\"a\"; filename=\"b\\\"; name=\\\"model\"~~x~--B--",
            "+--B~Content-Disposition: form-data; name=\"a\"~Content-Disposition: form-data; name=\"b\"~~x~--B--",
            "+--B~Content-Disposition: form-data;~ name=\"a\"~~x~--B--",
            "+--B~Content-Disposition : form-data; name=\"a\"~~x~--B--",
            "+--B~ Content-Disposition: form-data; name=\"a\"~~x~--B--",
            "+--B~Content-Disposition: form-data; name=\"a\"~x~~x~--B--",
            "+--B~Content-Disposition: form-data; name=\"a\nb\"~~x~--B--",
            "+--B~Content-Disposition: form-data; name=\"a\rb\"~~x~--B--",
            "+--B~Content-Disposition: form-data; name=\"model\0\"~~x~--B--",
            "+--B~Content-Disposition: form-data; name=\"a\"~Content-Type: multipart/mixed; boundary=C~~x~--B--",
            "+--B~Content-Disposition: form-data; name=\"a\"~Content-Type: text/plain~Content-Type: text/html~~x~--B--",
            "+--B~Content-Disposition: form-data; name=\"a\"~Content-Transfer-Encoding: base64~~x~--B--",
            "+--B~Content-Disposition: form-data; name=\"_charset_\"~~utf-16~--B--",
            "--B\nContent-Disposition: form-data; name=\"model\"\n\nm1\n--B--",
        ],
    ),
];

fn bytes(row: &str) -> Vec<u8> {
    let row = match row.strip_prefix('+') {
        Some(more) => format!("{GOOD}{more}"),
        None => row.to_owned(),
    };
    row.replace('~', "\r\n").into_bytes()
}

#[test]
fn a_form_names_its_model_wherever_the_part_stands() {
    for (model, row) in NAMED {
        let form = bytes(row);
        assert_eq!(read("B", [&*form]).as_deref(), Ok(*model), "{row}");
        assert_eq!(
            read("B", form.chunks(1)).as_deref(),
            Ok(*model),
            "{row} byte by byte"
        );
    }
}

#[test]
fn a_form_that_can_be_taken_apart_in_two_ways_is_refused() {
    for (fault, rows) in REFUSED {
        for row in *rows {
            let form = bytes(row);
            assert_eq!(read("B", [&*form]), Err(*fault), "{row}");
            assert_eq!(read("B", form.chunks(1)), Err(*fault), "{row} byte by byte");
        }
    }
}

#[rstest]
#[case::longest(256, true)]
#[case::too_long(257, false)]
#[case::far_too_long(100_000, false)]
fn a_name_in_a_form_has_a_longest(#[case] length: usize, #[case] is_taken: bool) {
    let form = bytes(GOOD).replace_m1(&"m".repeat(length));
    assert_eq!(read("B", [&*form]).is_ok(), is_taken);
    assert_eq!(read("B", form.chunks(7)).is_ok(), is_taken);
}

trait ReplaceM1 {
    fn replace_m1(self, name: &str) -> Vec<u8>;
}

impl ReplaceM1 for Vec<u8> {
    fn replace_m1(self, name: &str) -> Vec<u8> {
        let text = String::from_utf8(self).unwrap();
        format!("{}--B--", text.replace("m1", name)).into_bytes()
    }
}

#[test]
fn the_head_of_a_part_has_a_longest_and_a_file_has_none() {
    let long = format!(
        "{GOOD}--B~Content-Disposition: form-data; name=\"{}\"~~x~--B--",
        "a".repeat(9_000)
    );
    assert_eq!(read("B", [&*bytes(&long)]), Err(BodyFault::NotForm));
    let file = "\r\n-\r-\n--\r\n--A\0\u{ff}".repeat(100_000);
    let form = format!(
        "--B~Content-Disposition: form-data; name=\"file\"; filename=\"f\"~~{file}~--B~{}--B--",
        &GOOD.split_at(4).1
    );
    let form = bytes(&form);
    assert_eq!(read("B", form.chunks(8192)).as_deref(), Ok("m1"));
    let mut scanner = FormScanner::new("B");
    scanner.push(&bytes(GOOD)).unwrap();
    assert_eq!(scanner.model(), None, "it may go on");
    scanner.push(b"--B").unwrap();
    assert_eq!(
        (scanner.model(), scanner.found_at()),
        (Some("m1"), Some(form_length()))
    );
}

fn form_length() -> u64 {
    bytes(GOOD).len() as u64 + 3
}

proptest! {
    #[test]
    fn how_a_form_is_cut_changes_nothing(
        row in 0..NAMED.len() + 60,
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        change in prop::option::of((any::<prop::sample::Index>(), prop::sample::select(b"\r\n-B\";:= m\0\xff".to_vec()))),
    ) {
        let refused = || REFUSED.iter().flat_map(|(_, rows)| rows.iter());
        let row = NAMED.iter().map(|(_, row)| row).chain(refused()).nth(row).unwrap();
        let mut form = bytes(row);
        if let (Some((place, byte)), false) = (change, form.is_empty()) {
            let place = place.index(form.len());
            form[place] = byte;
        }
        let whole = read("B", [&*form]);
        prop_assert_eq!(read("B", form.chunks(1)), whole.clone());
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(form.len() + 1)).collect();
        places.extend([0, form.len()]);
        places.sort_unstable();
        prop_assert_eq!(read("B", places.windows(2).map(|ends| &form[ends[0]..ends[1]])), whole);
    }
}
