use http::Method;

/// The methods a route takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Methods {
    /// Every method but CONNECT and TRACE.
    Any,
    /// These.
    Only(Box<[Method]>),
}

/// How well a route takes a method: greater is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Taken {
    No,
    AsAny,
    AsWritten,
}

impl Methods {
    /// Reads the methods of a route; none means any.
    ///
    /// # Errors
    ///
    /// What is wrong with them, in words.
    pub fn parse(names: &[String]) -> Result<Self, String> {
        if names.is_empty() {
            return Ok(Self::Any);
        }
        let methods = names.iter().map(|name| parse_method(name));
        methods.collect::<Result<_, _>>().map(Self::Only)
    }

    /// Whether and how `method` is taken. Methods have case.
    pub fn take(&self, method: &Method) -> Taken {
        match self {
            Self::Any if is_never_taken(method) => Taken::No,
            Self::Any => Taken::AsAny,
            Self::Only(methods) if methods.contains(method) => Taken::AsWritten,
            Self::Only(_) => Taken::No,
        }
    }

    /// Whether some method is taken by both in the same way.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, Self::Any) => true,
            (Self::Only(one), Self::Only(other)) => one.iter().any(|method| other.contains(method)),
            _ => false,
        }
    }

    /// The names for `Allow`.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::Any => vec!["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"],
            Self::Only(methods) => methods.iter().map(Method::as_str).collect(),
        }
    }
}

/// CONNECT would make a tunnel, TRACE would show the caller our secret (SECURITY F13).
fn is_never_taken(method: &Method) -> bool {
    *method == Method::CONNECT || *method == Method::TRACE
}

fn parse_method(name: &str) -> Result<Method, String> {
    let shown = name.escape_debug();
    match Method::from_bytes(name.as_bytes()) {
        Ok(method) if is_never_taken(&method) => Err(format!("`{shown}` is never forwarded")),
        Ok(_) if name.bytes().any(|byte| byte.is_ascii_lowercase()) => {
            let capitals = name.to_ascii_uppercase();
            Err(format!("`{shown}` is another method than `{capitals}`"))
        }
        Ok(method) => Ok(method),
        Err(_) => Err(format!("`{shown}` is no method")),
    }
}
