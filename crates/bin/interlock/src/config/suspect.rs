//! What looks like a secret: for moving secrets out of configurations, for warning about those left, for masking.
//!
//! In scope: guessing from a name and a value. Wrong guesses cost little: a harmless value in the
//! secrets file works as before. Out of scope: payloads of calls (`interlock-inspect` judges those).

/// Why a value looks like a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspicion {
    /// It has the shape that one issuer gives its credentials.
    Issuer(&'static str),
    /// Its name says so.
    Named,
    /// It is a connection string or URL with a password or key in it.
    ConnectionString,
    /// It is long and random.
    Random,
}

impl Suspicion {
    /// For people.
    #[must_use]
    pub fn describe(self) -> String {
        match self {
            Self::Issuer(issuer) => format!("has the shape of a {issuer}"),
            Self::Named => "its name says so".to_owned(),
            Self::ConnectionString => "an address with a password or key in it".to_owned(),
            Self::Random => "long and random".to_owned(),
        }
    }
}

/// Prefixes, the least length of the whole, and what issues it.
const ISSUERS: &[(&str, usize, &str)] = &[
    ("ghp_", 36, "GitHub token"),
    ("gho_", 36, "GitHub token"),
    ("ghu_", 36, "GitHub token"),
    ("ghs_", 36, "GitHub token"),
    ("ghr_", 36, "GitHub token"),
    ("github_pat_", 40, "GitHub token"),
    ("glpat-", 20, "GitLab token"),
    ("xoxb-", 20, "Slack token"),
    ("xoxp-", 20, "Slack token"),
    ("xoxa-", 20, "Slack token"),
    ("xoxe.", 20, "Slack token"),
    ("xapp-", 20, "Slack token"),
    ("sk-ant-", 24, "Anthropic key"),
    ("sk-proj-", 24, "OpenAI key"),
    ("sk-", 32, "model provider's key"),
    ("sk_live_", 20, "Stripe key"),
    ("sk_test_", 20, "Stripe key"),
    ("rk_live_", 20, "Stripe key"),
    ("whsec_", 20, "webhook secret"),
    ("AKIA", 20, "AWS access key id"),
    ("ASIA", 20, "AWS access key id"),
    ("AIza", 35, "Google API key"),
    ("ya29.", 24, "Google access token"),
    ("GOCSPX-", 24, "Google client secret"),
    ("npm_", 36, "npm token"),
    ("pypi-", 40, "PyPI token"),
    ("hf_", 30, "Hugging Face token"),
    ("dop_v1_", 40, "DigitalOcean token"),
    ("SG.", 40, "SendGrid key"),
    ("shpat_", 30, "Shopify token"),
    ("lin_api_", 30, "Linear key"),
    ("ntn_", 40, "Notion token"),
    ("figd_", 30, "Figma token"),
    ("ATATT", 40, "Atlassian token"),
    ("tvly-", 20, "Tavily key"),
    ("sntrys_", 30, "Sentry token"),
    ("sntryu_", 30, "Sentry token"),
    ("sbp_", 30, "Supabase token"),
    ("dapi", 36, "Databricks token"),
    ("AGE-SECRET-KEY-", 40, "age key"),
    ("ilk_", 68, "key of an agent"),
    ("-----BEGIN", 40, "private key"),
];

/// Last words of names that hold secrets.
const NAMED: &[&str] = &[
    "token",
    "secret",
    "password",
    "passwd",
    "pass",
    "passphrase",
    "pwd",
    "pat",
    "apikey",
    "credential",
    "credentials",
    "authorization",
    "auth",
    "cookie",
    "bearer",
    "jwt",
    "accesskey",
    "secretkey",
    "privatekey",
];

/// Why `value`, which stands under `name`, looks like a secret; `None` if it does not, or is a reference to one.
#[must_use]
pub fn suspicion(name: Option<&str>, value: &str) -> Option<Suspicion> {
    let value = value.trim();
    if value.is_empty() || is_reference(value) {
        return None;
    }
    let bare = ["Bearer ", "bearer ", "Basic ", "basic ", "token ", "Token "]
        .iter()
        .find_map(|scheme| value.strip_prefix(scheme))
        .map(str::trim);
    if bare.is_some_and(is_reference) {
        return None;
    }
    if let Some(issuer) = issuer_of(bare.unwrap_or(value)) {
        return Some(Suspicion::Issuer(issuer));
    }
    if has_password(value) {
        return Some(Suspicion::ConnectionString);
    }
    if bare.is_some_and(|b| b.len() >= 8 && !b.contains(' ')) || name.is_some_and(|n| named(n, value)) {
        return Some(Suspicion::Named);
    }
    random(value).then_some(Suspicion::Random)
}

/// The name and value inside one command-line argument: `--api-key=X`, `TOKEN=X`, `Authorization: Bearer X`.
#[must_use]
pub fn assignment(argument: &str) -> Option<(&str, &str)> {
    let at = argument.find(['=', ':'])?;
    let (name, value) = (argument.get(..at)?.trim_start_matches('-'), argument.get(at + 1..)?);
    let name_like = !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    (name_like && !value.starts_with("//") && !value.starts_with('\\')).then(|| (name, value.trim()))
}

/// A line of a file or message with everything that looks like a secret replaced by an ellipsis.
#[must_use]
pub fn masked_line(line: &str) -> String {
    let first = line.split_once('=').map(|(before, _)| last_word(before));
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find(['"', '\'', '`']) {
        let (before, from) = rest.split_at(at);
        let mut chars = from.chars();
        let quote = chars.next().unwrap_or('"');
        let body = chars.as_str();
        mask_words(before, &mut out);
        out.push(quote);
        let (inside, after) = match body.find(quote) {
            Some(end) => (body.get(..end).unwrap_or_default(), body.get(end..).unwrap_or_default()),
            // An unclosed string: all of the rest may be its value.
            None => (body, ""),
        };
        // The name beside the value, else (an array) the one that the line begins with.
        let name = before.trim_end().strip_suffix(['=', ':']).map(last_word).filter(|n| !n.is_empty()).or(first);
        let suspect = suspicion(name, inside).is_some()
            || assignment(inside).is_some_and(|(n, v)| suspicion(Some(n), v).is_some())
            || inside.split([' ', ',', ';', '=', ':', '@']).any(|word| suspicion(None, word).is_some());
        out.push_str(if suspect { "\u{2026}" } else { inside });
        let mut after = after.chars();
        if let Some(close) = after.next() {
            out.push(close);
        }
        rest = after.as_str();
    }
    mask_words(rest, &mut out);
    out
}

/// Outside quotes: a token pasted as it is.
fn mask_words(text: &str, out: &mut String) {
    for (i, word) in text.split(' ').enumerate() {
        if i > 0 {
            out.push(' ');
        }
        let suspect = word.len() >= 8 && (issuer_of(word).is_some() || has_password(word) || random(word));
        out.push_str(if suspect { "\u{2026}" } else { word });
    }
}

/// What stands at the end of `text` and could be a name.
fn last_word(text: &str) -> &str {
    let text = text.trim().trim_matches(['"', '\'']);
    text.rsplit(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))).next().unwrap_or_default()
}

/// A reference in our own spelling or in a client's.
fn is_reference(value: &str) -> bool {
    value.starts_with("secret://")
        || value.starts_with("env://")
        || value.starts_with("${") && value.ends_with('}') && value.matches("${").count() == 1
        || value.starts_with("op://")
        || value.len() > 2 && value.starts_with('%') && value.ends_with('%') && !value.contains(' ')
}

fn issuer_of(value: &str) -> Option<&'static str> {
    let jwt = value.starts_with("eyJ") && value.len() > 40 && value.matches('.').count() == 2;
    if jwt {
        return Some("signed token (JWT)");
    }
    let one_word =
        value.starts_with("-----BEGIN") && value.contains("PRIVATE KEY") || !value.contains([' ', '/', '\\']);
    ISSUERS.iter().find(|(p, len, _)| one_word && value.starts_with(p) && value.len() >= *len).map(|(_, _, what)| *what)
}

fn named(name: &str, value: &str) -> bool {
    let words = words(name);
    let word_at = |back: usize| words.len().checked_sub(back).and_then(|i| words.get(i)).map(String::as_str);
    let last = word_at(1).unwrap_or_default();
    let before = word_at(2).unwrap_or_default();
    if name == "PWD" || before == "public" || matches!(value, "true" | "false" | "none" | "null" | "0" | "1") {
        return false;
    }
    if last == "key" {
        // Keys are also names of columns and files.
        return value.len() >= 8 && !value.contains([' ', '\\']) && !looks_like_path(value);
    }
    if matches!(last, "auth" | "pat" | "cookie" | "jwt" | "bearer" | "authorization") {
        return value.len() >= 8 && !looks_like_path(value) && !value.contains("://");
    }
    NAMED.contains(&last) && !looks_like_path(value)
}

/// The words of `GITHUB_TOKEN`, `api-key`, `clientSecret`, lower case.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut lower_before = false;
    for c in name.chars().take(128) {
        if !c.is_ascii_alphanumeric() || c.is_ascii_uppercase() && lower_before {
            words.push(String::new());
        }
        lower_before = c.is_ascii_lowercase();
        if let Some(word) = words.last_mut().filter(|_| c.is_ascii_alphanumeric()) {
            word.push(c.to_ascii_lowercase());
        }
    }
    words.retain(|w| !w.is_empty());
    words
}

fn looks_like_path(value: &str) -> bool {
    value.starts_with("./") || value.starts_with("~/") || value.starts_with('/') && value.matches('/').count() > 1 || {
        let mut bytes = value.bytes();
        bytes.next().is_some_and(|b| b.is_ascii_alphabetic())
            && bytes.next() == Some(b':')
            && matches!(bytes.next(), Some(b'\\' | b'/'))
    }
}

/// `scheme://user:password@host`, `...;Password=...`, `?api_key=...`.
fn has_password(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    if let Some((_, rest)) = lower.split_once("://") {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let password = authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':')).map(|(_, p)| p);
        if password.is_some_and(|p| !p.is_empty() && !is_reference(p)) {
            return true;
        }
        let query = rest.split_once('?').map_or("", |(_, q)| q);
        let in_query =
            |pair: &str| pair.split_once('=').is_some_and(|(n, v)| v.len() >= 8 && !is_reference(v) && named(n, v));
        return query.split(['&', '#']).any(in_query);
    }
    lower.contains(';')
        && lower.split(';').any(|pair| {
            pair.split_once('=').is_some_and(|(n, v)| {
                matches!(n.trim(), "password" | "pwd" | "accountkey" | "sharedaccesskey") && !v.trim().is_empty()
            })
        })
}

/// At least 32 characters of hexadecimal or of mixed letters and digits, with as much variety as random ones have.
fn random(value: &str) -> bool {
    let len = value.len();
    if !(32..=4096).contains(&len)
        || !value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'_' | b'-'))
    {
        return false;
    }
    let count = |f: fn(&u8) -> bool| value.as_bytes().iter().filter(|b| f(b)).count();
    let digits = count(u8::is_ascii_digit);
    let hex = count(u8::is_ascii_hexdigit) == len && digits >= 4 && count(u8::is_ascii_alphabetic) >= 4;
    let mixed = digits >= 3 && count(u8::is_ascii_uppercase) >= 3 && count(u8::is_ascii_lowercase) >= 3;
    let bits = bits_per_character(value);
    hex && bits >= 3.0 || mixed && bits >= 4.0 && !looks_like_path(value)
}

/// Shannon entropy of the characters' frequencies.
fn bits_per_character(value: &str) -> f64 {
    let mut counts = std::collections::BTreeMap::<u8, u32>::new();
    for b in value.bytes() {
        *counts.entry(b).or_default() += 1;
    }
    #[expect(clippy::cast_precision_loss, reason = "at most 4096 characters")]
    let len = value.len() as f64;
    counts.values().map(|n| f64::from(*n) / len).map(|p| -p * p.log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Put together here so that scanners do not take the test for a leak.
    fn fake(prefix: &str, len: usize) -> String {
        let alphabet = b"q8ZtR3vN1xKp6LmWb2Jc9HsYd4Gf7TaE";
        prefix.chars().chain((0..len).map(|i| char::from(alphabet[i * 7 % alphabet.len()]))).collect()
    }

    #[test]
    fn secrets_are_seen_and_the_rest_is_left_alone() {
        use Suspicion as S;
        let github = fake("ghp_", 36);
        let bearer = format!("Bearer {}", fake("", 20));
        let hex = "9f86d081884c7d659a2feaa0c55ad015";
        let mixed = fake("", 40);
        for (name, value, expected) in [
            (None, github.as_str(), Some(S::Issuer("GitHub token"))),
            (Some("FOO"), &github, Some(S::Issuer("GitHub token"))),
            (Some("DB_PASSWORD"), "hunter2", Some(S::Named)),
            (Some("api-key"), "abcdefgh1234", Some(S::Named)),
            (Some("clientSecret"), "s3cr3t", Some(S::Named)),
            (Some("Authorization"), &bearer, Some(S::Named)),
            (None, "postgresql://app:pa55@db.internal:5432/app", Some(S::ConnectionString)),
            (None, "Server=db;User Id=sa;Password=x1;", Some(S::ConnectionString)),
            (None, "https://mcp.example.com/sse?api_key=abcdefgh1234", Some(S::ConnectionString)),
            (None, hex, Some(S::Random)),
            (None, &mixed, Some(S::Random)),
            (Some("GITHUB_TOKEN"), "secret://github-token", None),
            (Some("GITHUB_TOKEN"), "${env:GITHUB_TOKEN}", None),
            (Some("Authorization"), "Bearer ${input:token}", None),
            (Some("GITHUB_TOKEN"), "%GITHUB_TOKEN%", None),
            (Some("GITHUB_TOKEN"), "", None),
            (Some("MAX_TOKENS"), "4096", None),
            (Some("API_KEY_FILE"), "/run/secrets/api_key", None),
            (Some("SSH_KEY"), "/home/ada/.ssh/id_ed25519", None),
            (Some("SORT_KEY"), "name", None),
            (Some("STRIPE_PUBLIC_KEY"), "whatever-is-public", None),
            (Some("PWD"), "/home/ada", None),
            (None, "postgresql://app@db.internal/app", None),
            (None, "https://mcp.example.com/mcp?page=12345678", None),
            (None, "@modelcontextprotocol/server-filesystem", None),
            (None, "/home/ada/projects/Interlock2026/data/files/More123", None),
            (None, r"C:\Users\ada\Documents", None),
            (Some("LOG_LEVEL"), "debug", None),
        ] {
            assert_eq!(suspicion(name, value), expected, "{name:?} {value}");
        }
    }

    #[test]
    fn assignments_in_arguments() {
        for (argument, expected) in [
            ("--api-key=abc", Some(("api-key", "abc"))),
            ("TOKEN=abc", Some(("TOKEN", "abc"))),
            ("Authorization: Bearer x", Some(("Authorization", "Bearer x"))),
            ("https://example.com", None),
            (r"C:\Users", None),
            ("plain", None),
        ] {
            assert_eq!(assignment(argument), expected, "{argument}");
        }
    }

    #[test]
    fn masking_leaves_no_secret_and_the_rest_readable() {
        let github = fake("ghp_", 36);
        for line in [
            format!("GITHUB_TOKEN = \"{github}\""),
            format!("env = {{ A = \"x\", T = '{github}' }}"),
            format!("GITHUB_TOKEN = \"{github}"),
            format!("GITHUB_TOKEN = {github}"),
            format!("args = [\"--token={github}\"]"),
            format!("env = {{ T = \"{github} }}"),
            format!("{github} = \"x\""),
            format!("run with `--token {github}`"),
            format!("invalid type: string \"{github}\", expected u64"),
        ] {
            let masked = masked_line(&line);
            assert!(!masked.contains(&github[4..]), "{masked}");
            assert!(masked.contains('\u{2026}'), "{masked}");
        }
        assert_eq!(masked_line("password = \"hunter2\""), "password = \"\u{2026}\"");
        assert_eq!(
            masked_line("env = { A = \"b\", DB_PASSWORD = 'x' }"),
            "env = { A = \"b\", DB_PASSWORD = '\u{2026}' }"
        );
        for line in ["mode = \"enforcing\"", "[servers.github]", "cwd = 'C:\\Users\\ada'"] {
            assert_eq!(masked_line(line), line);
        }
    }
}
