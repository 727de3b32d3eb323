//! `context.facts.asks_secret`: whether a server's question to a person asks for something secret.
//!
//! MCP, client/elicitation: servers must not ask for sensitive information in a form. What is looked at are the
//! question's words and the names, titles and descriptions of the fields, wherever they stand. It mitigates: a
//! server can ask in words that are not in the list.

use interlock_model::json::{Kind, View};

/// Words and pairs of words, in lower case; `-`, `_` and changes of case between words count as spaces.
const SECRETS: &[&str] = &[
    "password",
    "passwort",
    "passwd",
    "passcode",
    "passphrase",
    "pass phrase",
    "contraseña",
    "mot de passe",
    "secret",
    "credential",
    "credentials",
    "api key",
    "apikey",
    "access key",
    "private key",
    "signing key",
    "ssh key",
    "access token",
    "auth token",
    "bearer token",
    "refresh token",
    "personal access token",
    "seed phrase",
    "recovery phrase",
    "recovery code",
    "mnemonic",
    "one time code",
    "one time password",
    "verification code",
    "otp",
    "totp",
    "mfa code",
    "2fa code",
    "pin",
    "pin code",
    "cvv",
    "cvc",
    "card number",
    "social security",
    "ssn",
];

/// Longer texts are cut before they are looked at.
const LONGEST: usize = 16 * 1024;

/// Whether any string or member name in `asked` names a secret.
pub(crate) fn in_question(asked: Option<View<'_>>) -> bool {
    asked.is_some_and(in_value)
}

// Recursion is bounded by the depth limit that the tape was checked with.
fn in_value(value: View<'_>) -> bool {
    match value.kind() {
        Kind::String => value.as_str().is_some_and(|text| in_text(&text)),
        Kind::Array => value.elements().any(in_value),
        Kind::Object => {
            value.members().any(|(key, member)| key.as_str().is_some_and(|key| in_text(&key)) || in_value(member))
        }
        Kind::Null | Kind::Bool | Kind::Number => false,
    }
}

fn in_text(text: &str) -> bool {
    let words = words(text);
    SECRETS.iter().any(|secret| {
        words.match_indices(secret).any(|(at, found)| {
            let before = words.get(..at).is_none_or(|before| before.ends_with(' '));
            let after = words.get(at + found.len()..).is_none_or(|after| after.starts_with(' '));
            before && after
        })
    })
}

/// The text as lower-case words between single spaces, with one before and one after.
fn words(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(LONGEST) + 8);
    out.push(' ');
    let mut lower_before = false;
    for c in text.chars().take(LONGEST) {
        if !c.is_alphanumeric() {
            if !out.ends_with(' ') {
                out.push(' ');
            }
            lower_before = false;
            continue;
        }
        if c.is_uppercase() && lower_before {
            out.push(' ');
        }
        lower_before = c.is_lowercase() || c.is_numeric();
        out.extend(c.to_lowercase());
    }
    if !out.ends_with(' ') {
        out.push(' ');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use interlock_model::json::{Json, Limits};

    #[test]
    fn table() {
        for (question, expected) in [
            (r#"{"message":"Please enter your password"}"#, true),
            (r#"{"message":"Sign in","requestedSchema":{"properties":{"apiKey":{"type":"string"}}}}"#, true),
            (r#"{"message":"Sign in","requestedSchema":{"properties":{"api_key":{"type":"string"}}}}"#, true),
            (r#"{"message":"x","requestedSchema":{"properties":{"a":{"title":"One-Time Code"}}}}"#, true),
            (r#"{"message":"x","requestedSchema":{"properties":{"userPIN":{"type":"string"}}}}"#, true),
            (r#"{"message":"Enter the PIN"}"#, true),
            (r#"{"message":"Which pins shall I place on the map?"}"#, false),
            (r#"{"message":"What is your name?","requestedSchema":{"properties":{"name":{"type":"string"}}}}"#, false),
            (r#"{"message":"The secretary is in"}"#, false),
            (r#"{}"#, false),
        ] {
            let json = Json::parse(question, Limits::REQUEST).unwrap();
            assert_eq!(in_question(Some(json.root())), expected, "{question}");
        }
        assert!(!in_question(None));
    }
}
