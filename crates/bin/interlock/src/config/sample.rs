//! The sample configuration, generated from the defaults; `docs/interlock.toml` is compared with it.

use super::wire::default as d;

/// A configuration that says what the defaults say, with every key explained.
#[must_use]
pub fn sample() -> String {
    format!(
        r#"# Interlock's configuration. Every key but `version` may be left out; the values here are the defaults.
# Unknown keys are refused. Relative paths start from the directory of this file. Write Windows
# paths in single quotes: 'C:\like\this'.
version = 1

# enforcing: what policy denies is stopped. advisory: it is forwarded and the agent is told.
# silent: it is forwarded, and only the ledger shows what would have happened.
mode = "enforcing"

# Where this gateway runs; policies read it as `context.environment`.
environment = "{environment}"

[listen]
# Where agents connect: /mcp for all servers, /mcp/NAME for one.
mcp = "{mcp}"
# Where callers that run tools themselves ask for decisions (AuthZEN), and `/readyz`; `false` for none. With an agent's key.
# On an address that others can reach only with TLS.
api = "{api}"
# Whether callers without a key are served, as the agent `unbound`. Only on a loopback address.
allow_unbound = false
# Host names accepted besides loopback names: "name" or "name:port". Behind a reverse proxy or in a Tailscale network,
# the name that agents connect to. `Forwarded` and `X-Forwarded-*` are never read.
allowed_hosts = []
# `Origin` headers accepted; none means that browsers are refused.
allowed_origins = []
# TLS, and with it HTTP/2 by ALPN: PEM files, taken up again when they change. The key is readable by its owner alone.
# tls = {{ certificate = "gateway.crt", key = "gateway.key" }}

[data]
# Ledger, keys, secrets. Mode 0700, owned by the gateway's user.
dir = "{data}"

[policy]
# The policy bundle: manifest.json, schema.cedarschema, *.cedar, tests/*.json.
dir = "{policy}"

[catalog]
# The approved tool definitions.
file = "{catalog}"
# How often servers are asked whether their tools changed: 5 to 86400.
relist_seconds = {relist}

[limits]
# Most bytes of a message from an agent, and from a server.
message_bytes = {message}
result_bytes = {result}
# Most levels of arrays and objects in either: 4 to 64.
depth = {depth}
# Most calls in flight.
in_flight = {in_flight}
# How long a server may take for a call.
call_timeout_seconds = {timeout}
# How long a call may wait for its human.
approval_ttl_seconds = {ttl}

[telemetry]
# Spans of calls, to a collector's OTLP/HTTP address: names and outcomes, no arguments. TLS is for the collector to speak.
# otlp = "http://127.0.0.1:4318"

# Servers. A name is a lower-case letter, then lower-case letters, digits and `-`, at most 24.
# Values in `env`, `headers`, `args` and `url` may be references: `secret://NAME` is looked up in
# secrets.toml in the data directory (mode 0600), `env://NAME` in the gateway's environment.
#
# A package, installed once and run from its lock:
# [servers.files]
# package = "npm:@modelcontextprotocol/server-filesystem@2026.7.10"
# args = ["/srv/files"]
#
# [servers.database]
# package = "pypi:mcp-server-sqlite@2025.4.25"
# with = ["mcp<2"]
# args = ["--db-path", "app.db"]
# timeout_seconds = 30
# max_in_flight = 4
#
# A program on this machine:
# [servers.build]
# command = "node"
# args = ["tools/server.js"]
# cwd = "."
# env = {{ BUILD_TOKEN = "secret://build-token" }}
#
# A server elsewhere:
# [servers.tickets]
# url = "https://tickets.example.com/mcp"
# headers = {{ Authorization = "secret://tickets-authorization" }}
#
# An HTTP API whose OpenAPI 3 description becomes tools. Requests go below `url`, whatever the description says:
# [servers.shop]
# openapi = "openapi/shop.yaml"
# url = "https://shop.example.com/api"
# headers = {{ Authorization = "secret://shop-authorization" }}
#
# A GraphQL endpoint; the schema is the result of an introspection query (JSON) or schema definition language:
# [servers.graph]
# graphql = "graphql/schema.json"
# url = "https://graph.example.com/graphql"
"#,
        environment = d::ENVIRONMENT,
        mcp = d::MCP,
        api = d::API,
        data = d::DATA_DIR,
        policy = d::POLICY_DIR,
        catalog = d::CATALOG_FILE,
        relist = d::RELIST_SECONDS,
        message = d::MESSAGE_BYTES,
        result = d::RESULT_BYTES,
        depth = d::DEPTH,
        in_flight = d::IN_FLIGHT,
        timeout = d::CALL_TIMEOUT_SECONDS,
        ttl = d::APPROVAL_TTL_SECONDS,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::path::Path;

    #[test]
    fn the_sample_says_what_the_defaults_say_and_its_servers_are_valid() {
        let file = Path::new("/srv/interlock.toml");
        let given = Config::parse(&sample(), file).unwrap();
        let bare = Config::parse("version = 1", file).unwrap();
        assert_eq!(Config { digest: bare.digest, ..given }, bare);
        // What is commented out after the first server is configuration too.
        let (head, servers) =
            sample().split_once("# [servers.files]").map(|(h, s)| (h.to_owned(), s.to_owned())).unwrap();
        let servers = format!("[servers.files]{servers}");
        let uncommented: Vec<_> = servers
            .lines()
            .map(|line| line.trim_start_matches('#').trim_start())
            .filter(|line| !line.ends_with(':'))
            .collect();
        let config = Config::parse(&format!("{head}\n{}", uncommented.join("\n")), file).unwrap();
        assert_eq!(config.servers.len(), 6);
    }

    /// `INTERLOCK_BLESS=1 cargo test -p interlock sample` writes the file.
    #[test]
    fn the_sample_in_the_documentation_is_this_one() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/interlock.toml");
        if std::env::var_os("INTERLOCK_BLESS").is_some() {
            std::fs::write(&file, sample()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&file).unwrap(), sample(), "run with INTERLOCK_BLESS=1");
    }
}
