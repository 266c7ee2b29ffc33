//! Forms: what we take is taken apart at the same places by readers with other habits.

use keyward::route::FormScanner;

fn judge<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> Option<String> {
    let mut scanner = FormScanner::new("B");
    for piece in pieces {
        scanner.push(piece).ok()?;
    }
    scanner.finish().ok().map(str::to_owned)
}

/// The values of the parts that a reader takes for `model`: it divides wherever a line begins with the boundary, whichever
/// line end it knows, and finds the name wherever it stands.
fn read_by_others(form: &[u8], line_end: &str, in_any_case: bool) -> Vec<Vec<u8>> {
    // Bytes as characters, so that nothing is lost.
    let form: String = form.iter().copied().map(char::from).collect();
    let form = format!("{line_end}{form}");
    let mut models = Vec::new();
    for part in form.split(&format!("{line_end}--B")).skip(1) {
        if part.starts_with("--") {
            break;
        }
        // Who knows bare line feeds takes a line of one carriage return for an empty one.
        let empty = [format!("{line_end}{line_end}"), format!("{line_end}\r\n")];
        let ends = empty
            .iter()
            .filter_map(|empty| part.split_once(empty.as_str()));
        let Some((head, content)) = ends.min_by_key(|(head, _)| head.len()) else {
            continue;
        };
        let head = if in_any_case {
            head.to_ascii_lowercase()
        } else {
            head.to_owned()
        };
        let is_model = [r#"name="model""#, "name=model"].iter().any(|name| {
            head.split(name).nth(1).is_some_and(|after| {
                name.ends_with('"')
                    || !after.starts_with(|char: char| {
                        char.is_ascii_alphanumeric() || "-_.[".contains(char)
                    })
            })
        });
        if is_model && !head.contains("filename=\"name=") {
            let bytes: Option<Vec<u8>> = content
                .chars()
                .map(|char| u8::try_from(char).ok())
                .collect();
            models.extend(bytes);
        }
    }
    models
}

/// Others find the same model in a form that is taken, and how it is cut changes nothing.
pub fn law(input: &[u8]) {
    let judged = judge([input]);
    assert_eq!(judge(input.chunks(1)), judged, "{}", input.escape_ascii());
    let Some(model) = judged else {
        return;
    };
    for in_any_case in [false, true] {
        for found in read_by_others(input, "\r\n", in_any_case) {
            assert_eq!(found, model.as_bytes(), "{}", input.escape_ascii());
        }
        // Who knows bare line feeds finds no part that we did not see.
        for found in read_by_others(input, "\n", in_any_case) {
            let found = found.strip_suffix(b"\r").unwrap_or(&found);
            assert_eq!(found, model.as_bytes(), "{}", input.escape_ascii());
        }
    }
}
