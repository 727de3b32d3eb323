//! `interlock.toml`: what is accepted, what is refused, and what the refusal says.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use interlock_bin::config::{Config, ConfigError, Launch, Secrets, Setting, render_server};
use std::path::Path;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("/srv/gateway/interlock.toml")).map_err(|e| e.to_string())
}

fn with_server(body: &str) -> String {
    format!("version = 1\n[servers.x]\n{body}\n")
}

#[test]
fn refusals_show_the_place_and_say_what_to_write() {
    // Text, the place, and what the message must hold.
    for (text, place, parts) in [
        ("version = 1\n[lisen]\n", "2:2", &["unknown key `lisen`", "did you mean `listen`?"][..]),
        ("version = 1\nmode = \"enforce\"\n", "2:8", &["unknown value `enforce`", "did you mean `enforcing`?"]),
        ("version = 1\n[limits]\nin_fligth = 3\n", "3:1", &["did you mean `in_flight`?"]),
        ("version = 1\n[limits]\nzzz = 3\n", "3:1", &["known here: message_bytes, result_bytes"]),
        ("mode = \"enforcing\"\n", "1:1", &["missing key `version`"]),
        ("version = 2\n", "1:11", &["this program reads `version = 1`"]),
        ("version = 1\n[limits]\ndepth = 9999\n", "3:9", &["must be from 4 to 64"]),
        ("version = 1\n[limits]\ndepth = -1\n", "3:9", &["must be from 4 to 64"]),
        ("version = 1\n[limits]\ndepth = \"a\"\n", "3:9", &["invalid type"]),
        ("version = 1\n[listen]\nmcp = \"localhost\"\n", "3:7", &["not an address and a port", "127.0.0.1:7420"]),
        (
            "version = 1\n[listen]\nmcp = \"0.0.0.0:7420\"\nallow_unbound = true\n",
            "4:17",
            &["callers without a key", "0.0.0.0:7420"],
        ),
        (
            "version = 1\n[listen]\nmcp = \"[::ffff:127.0.0.1]:7420\"\nallow_unbound = true\n",
            "4:17",
            &["callers without a key"],
        ),
        (
            "version = 1\n[telemetry]\notlp = \"https://a:4318\"\n",
            "3:8",
            &["http://127.0.0.1:4318", "TLS is not spoken"],
        ),
        ("version = 1\n[telemetry]\notel = 1\n", "3:1", &["did you mean `otlp`?"]),
        ("version = 1\n[listen]\napi = true\n", "3:7", &["not an address and a port", "or `false`"]),
        ("version = 1\n[listen]\napi = \"localhost\"\n", "3:7", &["not an address and a port", "127.0.0.1:7421"]),
        ("version = 1\n[listen]\napi = 7421\n", "3:7", &["an address and a port, or `false`"]),
        ("version = 1\n[listen]\napi = \"0.0.0.0:7421\"\n", "3:7", &["in the clear", "`listen.tls`"]),
        (
            "version = 1\n[listen]\nallow_unbound = true\napi = \"0.0.0.0:7421\"\n",
            "4:7",
            &["callers without a key", "0.0.0.0:7421"],
        ),
        ("version = 1\n[listen]\nallowed_origins = [\"*\"]\n", "3:20", &["let every page in"]),
        ("version = 1\n[listen]\nallowed_origins = [\"null\"]\n", "3:20", &["let every page in"]),
        ("version = 1\n[listen]\nallowed_hosts = [\"https://a\"]\n", "3:18", &["no scheme"]),
        ("version = 1\n[listen]\ntls = { certificate = \"c.pem\" }\n", "3:7", &["missing key `key`"]),
        (
            "version = 1\n[listen]\ntls = { certificate = \"c\", key = \"k\", pin = 1 }\n",
            "3:39",
            &["unknown key `pin`", "certificate, key"],
        ),
        ("version = 1\n[listen]\ntls = { certificate = \"c\", key = \"~/k\" }\n", "3:34", &["not expanded"]),
        ("version = 1\n[data]\ndir = \"~/x\"\n", "3:7", &["not expanded", "whole path"]),
        ("version = 1\n[data]\ndir = \"C:\\Users\"\n", "3:12", &["single quotes"]),
        ("version = 1\n[servers.My_Server]\ncommand = \"x\"\n", "2:10", &["not a server name", "lower-case"]),
        ("version = 1\n[servers.x]\n", "2:10", &["needs `package`, `command` or `url`"]),
        (&with_server("command = \"a\"\nurl = \"http://a\""), "4:7", &["`command` or `url`, not both"]),
        (&with_server("url = \"http://a\"\nargs = [\"b\"]"), "4:8", &["`args` has no meaning for a server with `url`"]),
        (&with_server("command = \"a\"\nwith = [\"b\"]"), "4:8", &["`with` has no meaning"]),
        (&with_server("openapi = \"a.yaml\""), "3:11", &["an API needs `url`", "are not used"]),
        (
            &with_server("openapi = \"a\"\ngraphql = \"b\"\nurl = \"http://a\""),
            "4:11",
            &["`openapi` or `graphql`, not both"],
        ),
        (&with_server("openapi = \"a\"\ncommand = \"b\""), "3:11", &["`command` or `openapi`, not both"]),
        (
            &with_server("graphql = \"a\"\nurl = \"http://a\"\nargs = []"),
            "5:8",
            &["`args` has no meaning for a server with `graphql`"],
        ),
        (&with_server("openapi = \"a\"\nurl = \"http://a/?k=1\""), "4:7", &["no query", "`headers`"]),
        (&with_server("openapi = \"https://a/b.json\"\nurl = \"http://a\""), "3:11", &["is a file", "download it"]),
        (&with_server("openapi = \"~/a\"\nurl = \"http://a\""), "3:11", &["not expanded"]),
        (&with_server("openapi = \"a\"\nurl = \"http://a\"\nopen_api = 1"), "5:1", &["did you mean `openapi`?"]),
        (&with_server("command = \"npx -y thing\""), "3:11", &["no shell", "args = [\"-y\", \"thing\"]"]),
        (&with_server("package = \"npm:a@latest\""), "3:11", &["a version is exact"]),
        (&with_server("package = \"npm:a\"\nwith = [\"b\"]"), "4:8", &["`with` is for Python"]),
        (&with_server("package = \"pypi:a\"\nwith = [\"--index-url\"]"), "4:9", &["not a requirement"]),
        (&with_server("package = \"pypi:a\"\nwith = [\"a @ https://evil\"]"), "4:9", &["not a requirement"]),
        (&with_server("url = \"ftp://a\""), "3:7", &["not an `http` or `https` address"]),
        (&with_server("url = \"http://a\"\nheaders = { \"a b\" = \"c\" }"), "4:13", &["not a header name"]),
        (&with_server("command = \"a\"\nenv = { \"a=b\" = \"c\" }"), "4:9", &["not a variable name"]),
        (&with_server("command = \"a\"\nenv = { A = \"Bearer secret://b\" }"), "4:13", &["must be the whole value"]),
        (&with_server("command = \"a\"\ncomand = \"b\""), "4:1", &["did you mean `command`?"]),
        (&with_server("command = \"a\"\ntimeout_seconds = 0"), "4:19", &["from 1 to 3600 seconds"]),
        ("version = 1\nversion = 1\n", "2:1", &["duplicate key"]),
        ("version = \n", "1:11", &[]),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.starts_with(&format!("/srv/gateway/interlock.toml:{place}: ")), "{text}\n{error}");
        for part in parts {
            assert!(error.contains(part), "{text}\n{error}\nlacks {part}");
        }
    }
}

#[test]
fn a_refusal_underlines_what_is_wrong() {
    let error = parse("version = 1\n[listen]\nmcp = \"localhost\"\n").unwrap_err();
    let expected = "/srv/gateway/interlock.toml:3:7: not an address and a port\n  |\n3 | mcp = \"localhost\"\n  |       ^^^^^^^^^^^\n  = write an IP address and a port, such as \"127.0.0.1:7420\"";
    assert_eq!(error, expected);
}

#[test]
fn invariant_7_a_refusal_shows_no_secret() {
    let token = format!("ghp_{}", "a1B2c3".repeat(6));
    for body in [
        format!("command = \"a\"\nenv = {{ T = \"{token}\", \"a=b\" = \"c\" }}"),
        format!("command = \"a\"\nenv = {{ T = \"{token} }}"),
        format!("command = \"a\"\nargs = \"{token}\""),
        format!("command = \"a --token {token}\""),
        format!("command = \"a\"\ntimeout_seconds = \"{token}\""),
        format!("{token} = \"a\""),
        format!("url = \"http//a:{token}@b\""),
        "command = \"a\"\n[servers.x.env]\nDB_PASSWORD = \"hunter2".to_owned(),
    ] {
        let error = parse(&with_server(&body)).unwrap_err();
        assert!(!error.contains(&token) && !error.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_certificate_makes_the_address_https() {
    let plain = parse("version = 1\n").unwrap().listen;
    assert_eq!((plain.url().as_str(), plain.tls), ("http://127.0.0.1:7420/mcp", None));
    let listen = "[listen]\nmcp = \"[::1]:443\"\ntls = { certificate = \"tls/c.pem\", key = \"/etc/k.pem\" }\n";
    let secured = parse(&format!("version = 1\n{listen}")).unwrap().listen;
    assert_eq!(secured.url(), "https://[::1]:443/mcp");
    let files = secured.tls.unwrap();
    assert_eq!(files.certificate, Path::new("/srv/gateway/tls/c.pem"), "from the file's directory on");
    assert_eq!(files.key, Path::new("/etc/k.pem"));
}

#[test]
fn the_api_is_on_loopback_or_secured_or_off() {
    let tls = "tls = { certificate = \"c.pem\", key = \"k.pem\" }\n";
    for (lines, url) in [
        (String::new(), Some("http://127.0.0.1:7421")),
        ("api = \"[::1]:9\"\n".to_owned(), Some("http://[::1]:9")),
        ("api = false\n".to_owned(), None),
        (format!("api = \"10.0.0.7:7421\"\n{tls}"), Some("https://10.0.0.7:7421")),
        (format!("api = \"127.0.0.1:7421\"\n{tls}"), Some("http://127.0.0.1:7421")),
    ] {
        let listen = parse(&format!("version = 1\n[listen]\n{lines}")).unwrap().listen;
        assert_eq!(listen.api_url().as_deref(), url, "{lines}");
    }
}

#[test]
fn every_kind_of_server() {
    let config = parse(include_str!("fixtures/config/full.toml")).unwrap();
    let names: Vec<_> = config.servers.keys().map(|n| n.as_str().to_owned()).collect();
    assert_eq!(names, ["build", "database", "files", "graph", "shop", "tickets", "windows"]);
    assert_eq!(config.data_dir, Path::new("/srv/gateway/state"));
    assert_eq!(config.catalog.file, Path::new("/etc/interlock/catalog.lock.json"));
    let build = &config.servers["build"];
    assert!(matches!(&build.launch, Launch::Command { program, .. } if program == "/srv/gateway/tools/build"));
    assert!(matches!(&config.servers["windows"].launch, Launch::Command { program, args }
        if program == r"C:\Program Files\nodejs\node.exe" && args[0] == Setting::Plain(r"C:\tools\server.js".into())));
    assert_eq!(config.servers["tickets"].launch.describe(), "https://tickets.example.com");
    let shop = config.servers["shop"].launch.document().unwrap();
    assert_eq!((shop.key(), shop.file.as_path()), ("openapi", Path::new("/srv/gateway/openapi/shop.yaml")));
    assert_eq!(config.servers["graph"].launch.document().unwrap().key(), "graphql");
    assert_eq!(config.servers["database"].timeout.unwrap().as_secs(), 30);
}

#[test]
fn servers_read_back_as_they_were_rendered() {
    let config = parse(include_str!("fixtures/config/full.toml")).unwrap();
    let text: String = config.servers.values().map(|s| format!("\n{}", render_server(s))).collect();
    let again = parse(&format!("version = 1\n{text}")).unwrap();
    assert_eq!(again.servers, config.servers);
}

#[test]
fn byte_order_marks_and_crlf_change_nothing_but_the_digest() {
    let dir = tempfile::tempdir().unwrap();
    let text = include_str!("fixtures/config/full.toml");
    let crlf = text.replace('\n', "\r\n");
    let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let file = dir.path().join("interlock.toml");
    let load = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        Config::load(&file).unwrap()
    };
    let plain = load(text.as_bytes());
    assert_eq!(load(format!("\u{feff}{text}").as_bytes()), plain);
    assert_eq!(load(&utf16), plain);
    let windows = load(format!("\u{feff}{crlf}").as_bytes());
    assert_ne!(windows.digest, plain.digest);
    assert_eq!(Config { digest: plain.digest, ..windows }, plain);
    std::fs::write(&file, "version = 1\r\n\r\n[lisen]\r\n").unwrap();
    let error = Config::load(&file).unwrap_err().to_string();
    assert!(error.contains(":3:2: unknown key `lisen`") && !error.contains('\r'), "{error:?}");
}

#[test]
fn a_file_that_is_missing_or_too_large_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("interlock.toml");
    let error = Config::load(&file).unwrap_err();
    assert!(matches!(error, ConfigError::Missing(_)) && error.to_string().contains("interlock.toml"));
    std::fs::write(&file, " ".repeat((1 << 20) + 1)).unwrap();
    assert!(Config::load(&file).unwrap_err().to_string().contains("over 1048576 bytes"));
}

#[test]
fn references_are_resolved_or_all_that_are_missing_is_named() {
    let config = parse(include_str!("fixtures/config/full.toml")).unwrap();
    let nothing = |_: &str| None;
    let missing = config.resolve(&Secrets::default(), &nothing).unwrap_err();
    let places: Vec<_> = missing.0.iter().map(|m| m.place.as_str()).collect();
    assert_eq!(
        places,
        [
            "servers.build.env.BUILD_TOKEN",
            "servers.build.args[0]",
            "servers.shop.headers.Authorization",
            "servers.tickets.headers.Authorization"
        ]
    );
    assert!(missing.to_string().contains("env://BUILD_TOKEN"));

    let text =
        "version = 1\n[secrets]\nbuild-flag = \"--token=t\"\ntickets = \"Bearer hunter2\"\nshop = \"hunter2-too\"\n";
    let secrets = Secrets::parse(text, Path::new("secrets.toml")).unwrap();
    let environment = |name: &str| (name == "BUILD_TOKEN").then(|| "from-env".to_owned());
    let resolved = config.resolve(&secrets, &environment).unwrap();
    assert_eq!(resolved[0].env["BUILD_TOKEN"].danger_reveal(), "from-env");
    assert!(resolved[0].env["BUILD_TOKEN"].is_secret() && !resolved[0].env["LEVEL"].is_secret());
    assert!(!format!("{resolved:?}").contains("hunter2"));
    // A variable that is set to nothing is as good as missing.
    assert!(config.resolve(&secrets, &|_| Some(String::new())).is_err());
}
