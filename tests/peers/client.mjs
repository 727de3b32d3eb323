// An MCP client on the official TypeScript SDK, for tests that compare a server reached directly with the same server reached
// through the gateway.
//
//   client.mjs [--sdk v1|v2] [--mode legacy|auto|modern] [--at-once N] [--timeout SECONDS] <TARGETS
//
// v1 is always legacy; v2 (the default) is legacy unless --mode says otherwise, as that SDK itself has it; `modern` pins
// 2026-07-28. Targets and output are those of client.py. The packages are found under $PEERS_NPM.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const LISTS = { tools: 'tool', resources: 'resource', prompts: 'prompt' };

function usage(message) {
  console.error(`client.mjs: ${message}`);
  process.exit(2);
}

function parse(argv) {
  const args = { sdk: 'v2', mode: 'legacy', atOnce: 1, timeout: 60 };
  for (let i = 0; i < argv.length; i++) {
    const next = () => argv[++i] ?? usage(`${argv[i - 1]} needs a value`);
    switch (argv[i]) {
      case '--sdk': args.sdk = next(); break;
      case '--mode': args.mode = next(); break;
      case '--at-once': args.atOnce = Number(next()); break;
      case '--timeout': args.timeout = Number(next()); break;
      default: usage(`unknown option ${argv[i]}`);
    }
  }
  if (!['v1', 'v2'].includes(args.sdk)) usage('--sdk is v1 or v2');
  if (!['legacy', 'auto', 'modern'].includes(args.mode)) usage('--mode is legacy, auto or modern');
  return args;
}

/** Loads a package of the peers folder; an ES module resolves bare names from its own folder, which has none. */
async function load(name) {
  const home = process.env.PEERS_NPM ?? usage('PEERS_NPM is not set: run scripts/peers.sh');
  const [, scope, sub = '.'] = /^(@[^/]+\/[^/]+)(?:\/(.*))?$/.exec(name);
  const folder = path.join(home, 'node_modules', scope);
  const manifest = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8'));
  const entry = manifest.exports[sub === '.' ? '.' : `./${sub}`];
  let target = entry?.import ?? entry;
  while (typeof target === 'object') target = target.default ?? target.node;
  if (target) return import(pathToFileURL(path.join(folder, target)).href);
  // Version 1 exports its modules by a wildcard, which `require.resolve` reads for us.
  const resolved = createRequire(path.join(home, 'package.json')).resolve(name);
  return import(pathToFileURL(resolved.replace('/dist/cjs/', '/dist/esm/')).href);
}

async function sdk(version) {
  if (version === 'v2') {
    const name = '@modelcontextprotocol/client';
    return { ...(await load(name)), ...(await load(`${name}/stdio`)) };
  }
  const name = '@modelcontextprotocol/sdk/client';
  const modules = ['index.js', 'streamableHttp.js', 'sse.js', 'stdio.js'].map(file => load(`${name}/${file}`));
  return Object.assign({}, ...(await Promise.all(modules)));
}

/** Members in sorted order at every depth, so that lines can be compared as text. */
const sorted = value =>
  Array.isArray(value) ? value.map(sorted)
  : value && typeof value === 'object' ? Object.fromEntries(Object.keys(value).sort().map(key => [key, sorted(value[key])]))
  : value;
const put = (target, kind, members) => console.log(JSON.stringify(sorted({ target: target.target, kind, ...members })));
const fault = error => ({ code: error.code ?? null, message: error.message });
/** An answer in JSON-RPC, whatever it says. Version 1 gives its own connection faults numbers that a server may use too. */
const answered = error => typeof error.code === 'number' && error.code < 0 && !/Connection closed|Request timed out/.test(error.message);

/** One connection to the target: who it is, what it has, what it answers. */
async function ask(args, api, target) {
  const mode = args.mode === 'modern' ? { pin: '2026-07-28' } : args.mode;
  const client = new api.Client({ name: 'peer', version: '1.0.0' }, args.sdk === 'v2' ? { versionNegotiation: { mode } } : {});
  const [command, ...rest] = target.stdio ?? [];
  const transport = target.stdio
    ? new api.StdioClientTransport({ command, args: rest, env: { ...process.env, ...target.env }, stderr: 'inherit' })
    : new (target.sse ? api.SSEClientTransport : api.StreamableHTTPClientTransport)(new URL(target.url), { requestInit: { headers: target.headers ?? {} } });
  await client.connect(transport);
  put(target, 'server', { protocol: client.getNegotiatedProtocolVersion?.() ?? transport.protocolVersion ?? null, info: client.getServerVersion() ?? null });
  for (const kind of target.list ?? ['tools']) {
    try {
      let cursor;
      do {
        const verb = `list${kind[0].toUpperCase()}${kind.slice(1)}`;
        const page = await client[verb](cursor === undefined ? {} : { cursor });
        for (const item of page[kind]) put(target, LISTS[kind], { [LISTS[kind]]: item });
        cursor = page.nextCursor;
      } while (cursor !== undefined);
    } catch (error) {
      if (!answered(error)) throw error;
      put(target, 'list', { name: kind, error: fault(error) });
    }
  }
  for (const { name, arguments: given } of target.calls ?? []) {
    const options = { timeout: args.timeout * 1000 };
    try {
      const call = { name, arguments: given };
      const result = await (args.sdk === 'v1' ? client.callTool(call, undefined, options) : client.callTool(call, options));
      put(target, 'call', { name, result });
    } catch (error) {
      if (!answered(error)) throw error;
      put(target, 'call', { name, error: fault(error) });
    }
  }
  await client.close();
}

const args = parse(process.argv.slice(2));
const api = await sdk(args.sdk);
const targets = JSON.parse(readFileSync(0, 'utf8'));
async function worker() {
  for (let target; (target = targets.shift()); ) {
    await ask(args, api, target).catch(error => put(target, 'failed', { message: `${error.name}: ${error.message}` }));
  }
}
await Promise.all(Array.from({ length: args.atOnce }, worker));
process.exit(0);
