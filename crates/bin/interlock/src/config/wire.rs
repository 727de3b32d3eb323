//! The file as TOML, private, and the checks that turn it into a [`Config`].

use super::{
    CatalogSource, Config, Document, Fault, Launch, Limits, Listen, MAX_SERVERS, Package, PackageRef, Registry, Server,
    Setting, fault::Complaint, suspect,
};
use interlock_gateway::{Collector, InvalidCollector, TlsFiles};
use interlock_model::{Digest, Mode, ServerName};
use interlock_upstream::adapted::DocumentKind;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use toml::Spanned;

/// The defaults, in one place: the sample file is generated from them.
pub(super) mod default {
    pub(crate) const ENVIRONMENT: &str = "dev";
    pub(crate) const MCP: &str = "127.0.0.1:7420";
    pub(crate) const API: &str = "127.0.0.1:7421";
    pub(crate) const DATA_DIR: &str = ".interlock";
    pub(crate) const POLICY_DIR: &str = "policy";
    pub(crate) const CATALOG_FILE: &str = "catalog.lock.json";
    pub(crate) const RELIST_SECONDS: u64 = 60;
    pub(crate) const MESSAGE_BYTES: usize = 4 << 20;
    pub(crate) const RESULT_BYTES: usize = 16 << 20;
    pub(crate) const DEPTH: usize = 64;
    pub(crate) const IN_FLIGHT: usize = 1024;
    pub(crate) const CALL_TIMEOUT_SECONDS: u64 = 120;
    pub(crate) const APPROVAL_TTL_SECONDS: u64 = 900;
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: Spanned<i64>,
    #[serde(default)]
    mode: Mode,
    environment: Option<Spanned<String>>,
    #[serde(default)]
    listen: ListenTable,
    #[serde(default)]
    data: DirTable,
    #[serde(default)]
    policy: DirTable,
    #[serde(default)]
    catalog: CatalogTable,
    #[serde(default)]
    limits: LimitsTable,
    #[serde(default)]
    telemetry: TelemetryTable,
    #[serde(default)]
    servers: BTreeMap<Spanned<String>, ServerTable>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListenTable {
    mcp: Option<Spanned<String>>,
    api: Option<Spanned<ApiValue>>,
    allow_unbound: Option<Spanned<bool>>,
    #[serde(default)]
    allowed_hosts: Vec<Spanned<String>>,
    #[serde(default)]
    allowed_origins: Vec<Spanned<String>>,
    tls: Option<TlsTable>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "an address and a port, or `false`")]
enum ApiValue {
    At(String),
    Switch(bool),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsTable {
    certificate: Spanned<String>,
    key: Spanned<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct DirTable {
    dir: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CatalogTable {
    file: Option<Spanned<String>>,
    relist_seconds: Option<Spanned<i64>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsTable {
    message_bytes: Option<Spanned<i64>>,
    result_bytes: Option<Spanned<i64>>,
    depth: Option<Spanned<i64>>,
    in_flight: Option<Spanned<i64>>,
    call_timeout_seconds: Option<Spanned<i64>>,
    approval_ttl_seconds: Option<Spanned<i64>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TelemetryTable {
    otlp: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServerTable {
    package: Option<Spanned<String>>,
    bin: Option<Spanned<String>>,
    with: Option<Spanned<Vec<Spanned<String>>>>,
    command: Option<Spanned<String>>,
    args: Option<Spanned<Vec<Spanned<String>>>>,
    url: Option<Spanned<String>>,
    openapi: Option<Spanned<String>>,
    graphql: Option<Spanned<String>>,
    headers: Option<Spanned<BTreeMap<Spanned<String>, Spanned<String>>>>,
    env: Option<Spanned<BTreeMap<Spanned<String>, Spanned<String>>>>,
    cwd: Option<Spanned<String>>,
    timeout_seconds: Option<Spanned<i64>>,
    max_in_flight: Option<Spanned<i64>>,
}

pub(super) fn parse(text: &str, file: &Path) -> Result<Config, Fault> {
    let wire: File = toml::from_str(text).map_err(|e| Complaint::of_toml(&e).in_file(file.to_owned(), text))?;
    checked(wire, text, file).map_err(|complaint| complaint.in_file(file.to_owned(), text))
}

fn checked(wire: File, text: &str, file: &Path) -> Result<Config, Complaint> {
    if *wire.version.get_ref() != 1 {
        return Err(Complaint::new(wire.version.span(), "this version of the format is not known")
            .help("this program reads `version = 1`"));
    }
    let root = file.parent().unwrap_or_else(|| Path::new("."));
    if let Some((name, _)) = wire.servers.iter().nth(MAX_SERVERS) {
        return Err(Complaint::new(name.span(), format!("more than {MAX_SERVERS} servers")));
    }
    let mut servers = BTreeMap::new();
    for (name, table) in wire.servers {
        let server = server(&name, table, root)?;
        servers.insert(server.name.clone(), server);
    }
    Ok(Config {
        file: file.to_owned(),
        digest: Digest::of(text.as_bytes()),
        mode: wire.mode,
        environment: environment(wire.environment)?,
        listen: listen(wire.listen, root)?,
        data_dir: path_or(wire.data.dir, default::DATA_DIR, root)?,
        policy_dir: path_or(wire.policy.dir, default::POLICY_DIR, root)?,
        catalog: CatalogSource {
            file: path_or(wire.catalog.file, default::CATALOG_FILE, root)?,
            relist: seconds(wire.catalog.relist_seconds, default::RELIST_SECONDS, 5, 86_400)?,
        },
        limits: limits(wire.limits)?,
        telemetry: wire.telemetry.otlp.map(collector).transpose()?,
        servers,
    })
}

fn environment(value: Option<Spanned<String>>) -> Result<String, Complaint> {
    let Some(value) = value else { return Ok(default::ENVIRONMENT.to_owned()) };
    let span = value.span();
    let name = value.into_inner();
    let valid = (1..=32).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'));
    if valid {
        Ok(name)
    } else {
        Err(Complaint::new(span, "an environment is 1 to 32 of lower-case letters, digits, `-` and `_`"))
    }
}

fn listen(wire: ListenTable, root: &Path) -> Result<Listen, Complaint> {
    let (mcp, span): (SocketAddr, _) = match wire.mcp {
        None => (SocketAddr::from(([127, 0, 0, 1], 7420)), 0..0),
        Some(value) => match value.get_ref().parse() {
            Ok(address) => (address, value.span()),
            Err(_) => {
                return Err(Complaint::new(value.span(), "not an address and a port")
                    .help(format!("write an IP address and a port, such as \"{}\"", default::MCP)));
            }
        },
    };
    let allow_unbound = wire.allow_unbound.as_ref().is_some_and(|v| *v.get_ref());
    if allow_unbound && !mcp.ip().is_loopback() {
        let at = wire.allow_unbound.map_or(span, |v| v.span());
        return Err(Complaint::new(
            at,
            format!("callers without a key would be served at {mcp}, which others can reach"),
        )
        .help("give each agent a key (`interlock agents issue`), or listen on a loopback address"));
    }
    let api = api(wire.api, allow_unbound, wire.tls.is_some())?;
    let hosts =
        wire.allowed_hosts.into_iter().map(|v| matching(v, host, "a host is `name` or `name:port`, no scheme, no `*`"));
    let origins = wire
        .allowed_origins
        .into_iter()
        .map(|v| matching(v, origin, "an origin is `https://name` or `https://name:port`, without a path; `*` and `null` would let every page in"));
    let tls = |files: TlsTable| -> Result<TlsFiles, Complaint> {
        Ok(TlsFiles { certificate: path(&files.certificate, root)?, key: path(&files.key, root)? })
    };
    Ok(Listen {
        mcp,
        api,
        allow_unbound,
        allowed_hosts: hosts.collect::<Result<_, _>>()?,
        allowed_origins: origins.collect::<Result<_, _>>()?,
        tls: wire.tls.map(tls).transpose()?,
    })
}

fn collector(value: Spanned<String>) -> Result<Collector, Complaint> {
    value.get_ref().parse().map_err(|e: InvalidCollector| Complaint::new(value.span(), e.to_string()))
}

/// Where the API is; `None` where it is turned off.
fn api(wire: Option<Spanned<ApiValue>>, allow_unbound: bool, tls: bool) -> Result<Option<SocketAddr>, Complaint> {
    let Some(value) = wire else { return Ok(Some(SocketAddr::from(([127, 0, 0, 1], 7421)))) };
    let span = value.span();
    let address = match value.into_inner() {
        ApiValue::Switch(false) => return Ok(None),
        ApiValue::Switch(true) => None,
        ApiValue::At(text) => text.parse::<SocketAddr>().ok(),
    };
    let Some(address) = address else {
        return Err(Complaint::new(span, "not an address and a port, and not `false`")
            .help(format!("write an IP address and a port, such as \"{}\", or `false` for no API", default::API)));
    };
    if address.ip().is_loopback() {
        return Ok(Some(address));
    }
    if allow_unbound {
        return Err(Complaint::new(
            span,
            format!("callers without a key would be served at {address}, which others can reach"),
        )
        .help("set `allow_unbound = false`, or use a loopback address"));
    }
    if !tls {
        return Err(Complaint::new(span, format!("keys and decisions would travel to {address} in the clear"))
            .help("set `listen.tls`, or use a loopback address"));
    }
    Ok(Some(address))
}

fn matching(value: Spanned<String>, valid: fn(&str) -> bool, message: &str) -> Result<String, Complaint> {
    let lower = value.get_ref().to_ascii_lowercase();
    if valid(&lower) { Ok(lower) } else { Err(Complaint::new(value.span(), message)) }
}

fn host(s: &str) -> bool {
    let (name, port) = match s.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, rest)) => {
            return v6.parse::<std::net::Ipv6Addr>().is_ok()
                && (rest.is_empty() || rest.strip_prefix(':').is_some_and(|p| p.parse::<u16>().is_ok()));
        }
        None => s.split_once(':').map_or((s, None), |(name, port)| (name, Some(port))),
    };
    (1..=253).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        && port.is_none_or(|p| p.parse::<u16>().is_ok())
}

fn origin(s: &str) -> bool {
    s.split_once("://").is_some_and(|(scheme, rest)| {
        !scheme.is_empty()
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
            && host(rest)
    })
}

fn limits(wire: LimitsTable) -> Result<Limits, Complaint> {
    Ok(Limits {
        message_bytes: count(wire.message_bytes, default::MESSAGE_BYTES, 1 << 10, 64 << 20)?,
        result_bytes: count(wire.result_bytes, default::RESULT_BYTES, 1 << 10, 256 << 20)?,
        depth: count(wire.depth, default::DEPTH, 4, 64)?,
        in_flight: count(wire.in_flight, default::IN_FLIGHT, 1, 65_536)?,
        call_timeout: seconds(wire.call_timeout_seconds, default::CALL_TIMEOUT_SECONDS, 1, 3600)?,
        approval_ttl: seconds(wire.approval_ttl_seconds, default::APPROVAL_TTL_SECONDS, 30, 7 * 86_400)?,
    })
}

fn count(value: Option<Spanned<i64>>, default: usize, min: usize, max: usize) -> Result<usize, Complaint> {
    let Some(value) = value else { return Ok(default) };
    usize::try_from(*value.get_ref())
        .ok()
        .filter(|n| (min..=max).contains(n))
        .ok_or_else(|| Complaint::new(value.span(), format!("must be from {min} to {max}")))
}

fn seconds(value: Option<Spanned<i64>>, default: u64, min: u64, max: u64) -> Result<Duration, Complaint> {
    let Some(value) = value else { return Ok(Duration::from_secs(default)) };
    u64::try_from(*value.get_ref())
        .ok()
        .filter(|n| (min..=max).contains(n))
        .map(Duration::from_secs)
        .ok_or_else(|| Complaint::new(value.span(), format!("must be from {min} to {max} seconds")))
}

fn path_or(value: Option<Spanned<String>>, default: &str, root: &Path) -> Result<PathBuf, Complaint> {
    match value {
        Some(value) => path(&value, root),
        None => Ok(root.join(default)),
    }
}

/// A path of the configuration: absolute, or from its directory on.
fn path(value: &Spanned<String>, root: &Path) -> Result<PathBuf, Complaint> {
    let text = value.get_ref();
    let wrong = |message: &str| Complaint::new(value.span(), message);
    if text.is_empty() || text.contains('\0') {
        return Err(wrong("a path cannot be empty"));
    }
    if text.starts_with('~') || text.contains("${") || text.starts_with('%') {
        return Err(wrong("`~` and variables are not expanded here")
            .help("write the whole path, or one that starts from the directory of this file"));
    }
    // A Windows path read elsewhere must not become a relative one with backslashes in its name.
    Ok(if is_windows_absolute(text) { PathBuf::from(text) } else { root.join(text) })
}

fn is_windows_absolute(path: &str) -> bool {
    let mut bytes = path.bytes();
    path.starts_with(r"\\")
        || bytes.next().is_some_and(|b| b.is_ascii_alphabetic())
            && bytes.next() == Some(b':')
            && matches!(bytes.next(), Some(b'\\' | b'/'))
}

fn server(name: &Spanned<String>, table: ServerTable, root: &Path) -> Result<Server, Complaint> {
    let server_name = ServerName::new(name.get_ref()).map_err(|e| {
        Complaint::new(name.span(), e.to_string())
            .help("a server's name is a lower-case letter, then lower-case letters, digits and `-`, at most 24")
    })?;
    let described = table.openapi.is_some() || table.graphql.is_some();
    let kinds = [
        ("package", &table.package),
        ("command", &table.command),
        // Beside a document it says where the API is.
        ("url", if described { &None } else { &table.url }),
        ("openapi", &table.openapi),
        ("graphql", &table.graphql),
    ];
    let given: Vec<_> = kinds.iter().filter_map(|(key, value)| value.as_ref().map(|v| (*key, v.span()))).collect();
    let kind = match given.as_slice() {
        [(kind, _)] => *kind,
        [] => {
            return Err(Complaint::new(name.span(), "a server needs `package`, `command` or `url`")
                .help("for an API that is no MCP server, `openapi` or `graphql` names its description, beside `url`"));
        }
        [(first, _), (second, span), ..] => {
            return Err(Complaint::new(span.clone(), format!("a server has `{first}` or `{second}`, not both")));
        }
    };
    let remote = !matches!(kind, "package" | "command");
    let misplaced = [
        ("bin", table.bin.as_ref().map(Spanned::span), kind == "package"),
        ("with", table.with.as_ref().map(Spanned::span), kind == "package"),
        ("args", table.args.as_ref().map(Spanned::span), !remote),
        ("env", table.env.as_ref().map(Spanned::span), !remote),
        ("cwd", table.cwd.as_ref().map(Spanned::span), !remote),
        ("url", table.url.as_ref().map(Spanned::span), remote),
        ("headers", table.headers.as_ref().map(Spanned::span), remote),
    ];
    for (key, span, allowed) in misplaced {
        if let Some(span) = span.filter(|_| !allowed) {
            return Err(Complaint::new(span, format!("`{key}` has no meaning for a server with `{kind}`")));
        }
    }
    let args = settings(table.args)?;
    let launch = if let Some(package) = table.package {
        Launch::Package(package_launch(&package, table.bin, table.with, args)?)
    } else if let Some(program) = table.command {
        Launch::Command { program: command(program, root)?, args }
    } else {
        let document = document(table.openapi, table.graphql, table.url.as_ref(), root)?;
        Launch::Remote {
            url: url(table.url, name)?,
            headers: setting_map(table.headers, is_header_name, "not a header name")?,
            document,
        }
    };
    Ok(Server {
        name: server_name,
        launch,
        env: setting_map(table.env, is_variable_name, "not a variable name")?,
        cwd: table.cwd.map(|cwd| path(&cwd, root)).transpose()?,
        timeout: table.timeout_seconds.map(|v| seconds(Some(v), 0, 1, 3600)).transpose()?,
        max_in_flight: table.max_in_flight.map(|v| count(Some(v), 0, 1, 65_536)).transpose()?,
    })
}

fn package_launch(
    package: &Spanned<String>,
    bin: Option<Spanned<String>>,
    with: Option<Spanned<Vec<Spanned<String>>>>,
    args: Vec<Setting>,
) -> Result<Package, Complaint> {
    let reference: PackageRef = package.get_ref().parse().map_err(|e: super::InvalidPackage| {
        Complaint::new(package.span(), e.to_string()).help("such as \"npm:@scope/name@1.2.3\" or \"pypi:name@1.2.3\"")
    })?;
    if let Some(with) = with.as_ref().filter(|_| reference.registry() != Registry::Pypi) {
        return Err(Complaint::new(
            with.span(),
            "`with` is for Python packages; npm packages name their own dependencies",
        ));
    }
    let with = with.map(Spanned::into_inner).unwrap_or_default();
    let requirement = |value: Spanned<String>| {
        let text = value.get_ref();
        let valid = (1..=200).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && !text.contains(['/', '\\', '@', '\0', '\n', '\r']);
        if valid {
            Ok(value.into_inner())
        } else {
            Err(Complaint::new(value.span(), "not a requirement such as `mcp<2`"))
        }
    };
    if let Some(extra) = with.get(32) {
        return Err(Complaint::new(extra.span(), "more than 32 further requirements"));
    }
    let bin = bin
        .map(|value| {
            let text = value.get_ref();
            let valid =
                (1..=128).contains(&text.len()) && !text.starts_with(['-', '.']) && !text.contains(['/', '\\', '\0']);
            if valid {
                Ok(value.into_inner())
            } else {
                Err(Complaint::new(value.span(), "not the name of a program of the package"))
            }
        })
        .transpose()?;
    Ok(Package { package: reference, bin, args, with: with.into_iter().map(requirement).collect::<Result<_, _>>()? })
}

/// A bare name is for `PATH`; with a separator it is a path, from the configuration's directory on.
fn command(program: Spanned<String>, root: &Path) -> Result<String, Complaint> {
    let text = program.get_ref();
    if text.trim().is_empty() || text.contains('\0') {
        return Err(Complaint::new(program.span(), "a command cannot be empty"));
    }
    if !text.contains(['/', '\\']) && text.contains(' ') {
        let mut words = text.split_whitespace();
        let first = words.next().unwrap_or_default();
        let rest: Vec<_> = words.map(super::quoted).collect();
        return Err(Complaint::new(program.span(), "a command is one program; no shell splits it").help(
            suspect::masked_line(&format!("write command = {}, args = [{}]", super::quoted(first), rest.join(", "))),
        ));
    }
    if is_windows_absolute(text) || !text.contains(['/', '\\']) {
        return Ok(program.into_inner());
    }
    path(&program, root).map(|p| p.to_string_lossy().into_owned())
}

/// The file that describes an API, whose address is the configured one and not what the file says.
fn document(
    openapi: Option<Spanned<String>>,
    graphql: Option<Spanned<String>>,
    url: Option<&Spanned<String>>,
    root: &Path,
) -> Result<Option<Document>, Complaint> {
    let (kind, file) = match (openapi, graphql) {
        (Some(file), _) => (DocumentKind::OpenApi, file),
        (None, Some(file)) => (DocumentKind::GraphQl, file),
        (None, None) => return Ok(None),
    };
    if file.get_ref().contains("://") {
        return Err(Complaint::new(file.span(), "a description is a file: what it says decides which tools there are")
            .help("download it, look at it, and name the file"));
    }
    let Some(url) = url else {
        return Err(Complaint::new(file.span(), "an API needs `url`, where its requests go")
            .help("write `url = \"https://...\"`; addresses inside of the description are not used"));
    };
    // A reference is looked at once it has a value.
    if kind == DocumentKind::OpenApi && url.get_ref().contains('?') {
        return Err(Complaint::new(url.span(), "a base address has no query, since paths are put after it")
            .help("put keys into `headers`"));
    }
    Ok(Some(Document { kind, file: path(&file, root)? }))
}

fn url(value: Option<Spanned<String>>, name: &Spanned<String>) -> Result<Setting, Complaint> {
    let Some(value) = value else { return Err(Complaint::new(name.span(), "a server needs an address")) };
    let setting = setting(&value)?;
    if let Setting::Plain(text) = &setting {
        let uri = text.parse::<http::Uri>().ok();
        let valid = uri.is_some_and(|u| {
            matches!(u.scheme_str(), Some("http" | "https")) && u.host().is_some_and(|h| !h.is_empty())
        });
        if !valid {
            return Err(Complaint::new(value.span(), "not an `http` or `https` address"));
        }
    }
    Ok(setting)
}

fn settings(values: Option<Spanned<Vec<Spanned<String>>>>) -> Result<Vec<Setting>, Complaint> {
    let values = values.map(Spanned::into_inner).unwrap_or_default();
    match values.get(256) {
        Some(extra) => Err(Complaint::new(extra.span(), "more than 256 arguments")),
        None => values.iter().map(setting).collect(),
    }
}

fn setting(value: &Spanned<String>) -> Result<Setting, Complaint> {
    if value.get_ref().len() > 32_768 {
        return Err(Complaint::new(value.span(), "a value is at most 32768 bytes long"));
    }
    value.get_ref().parse().map_err(|e: super::InvalidReference| Complaint::new(value.span(), e.to_string()))
}

fn setting_map(
    values: Option<Spanned<BTreeMap<Spanned<String>, Spanned<String>>>>,
    valid: fn(&str) -> bool,
    message: &str,
) -> Result<BTreeMap<String, Setting>, Complaint> {
    let mut out = BTreeMap::new();
    for (key, value) in values.map(Spanned::into_inner).unwrap_or_default() {
        if out.len() == 256 {
            return Err(Complaint::new(key.span(), "more than 256 names"));
        }
        if !valid(key.get_ref()) {
            return Err(Complaint::new(key.span(), message));
        }
        let setting = setting(&value)?;
        out.insert(key.into_inner(), setting);
    }
    Ok(out)
}

/// No `=` and no NUL; Windows has names with brackets, such as `ProgramFiles(x86)`.
fn is_variable_name(name: &str) -> bool {
    (1..=256).contains(&name.len()) && !name.contains(['=', '\0', '\n', '\r'])
}

fn is_header_name(name: &str) -> bool {
    http::HeaderName::try_from(name).is_ok()
}
