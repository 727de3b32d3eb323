// An MCP client on the official TypeScript SDK, for tests that compare a server reached directly with the same server reached
// through the gateway.
//
//   client.mjs [--sdk v1|v2] [--mode legacy|auto|modern] [--calls FILE] [--call NAME JSON]... [--list KIND,...] TARGET
//
// TARGET is one of
//   --url URL [--header 'Name: value']... [--sse]     streamable HTTP; with --sse the old HTTP+SSE transport
//   --stdio [--env NAME=VALUE]... COMMAND [ARG...]    a child that speaks on its standard streams; ends the options
//
// v1 is always legacy; v2 (the default) is legacy unless --mode says otherwise, as that SDK itself has it; `modern` pins
// 2026-07-28. Output and exit codes are those of client.py. The packages are found under $PEERS_NPM.
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
  const args = { sdk: 'v2', mode: 'legacy', headers: {}, env: {}, list: ['tools'], requests: [], timeout: 60 };
  const separate = (text, by) => [text.slice(0, text.indexOf(by)), text.slice(text.indexOf(by) + by.length)];
  for (let i = 0; i < argv.length; i++) {
    const next = () => argv[++i] ?? usage(`${argv[i - 1]} needs a value`);
    switch (argv[i]) {
      case '--sdk': args.sdk = next(); break;
      case '--mode': args.mode = next(); break;
      case '--url': args.url = next(); break;
      case '--sse': args.sse = true; break;
      case '--header': { const [name, value] = separate(next(), ': '); args.headers[name] = value; break; }
      case '--env': { const [name, value] = separate(next(), '='); args.env[name] = value; break; }
      case '--list': args.list = next().split(',').filter(Boolean); break;
      case '--timeout': args.timeout = Number(next()); break;
      case '--call': args.requests.push({ name: next(), arguments: JSON.parse(next()) }); break;
      case '--calls': args.requests.unshift(...JSON.parse(readFileSync(argv[i + 1] === '-' ? 0 : argv[i + 1], 'utf8'))); i++; break;
      case '--stdio': args.stdio = argv.slice(i + 1); i = argv.length; break;
      default: usage(`unknown option ${argv[i]}`);
    }
  }
  if (!args.url === !args.stdio?.length) usage('give either --url or --stdio');
  if (!['v1', 'v2'].includes(args.sdk)) usage('--sdk is v1 or v2');
  if (!['legacy', 'auto', 'modern'].includes(args.mode)) usage('--mode is legacy, auto or modern');
  if (args.list.some(kind => !(kind in LISTS))) usage(`--list knows ${Object.keys(LISTS).join(', ')}`);
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
const put = (kind, members) => console.log(JSON.stringify(sorted({ kind, ...members })));
const fault = error => ({ code: error.code ?? null, message: error.message });
/** An answer in JSON-RPC, whatever it says. Version 1 gives its own connection faults numbers that a server may use too. */
const answered = error => typeof error.code === 'number' && error.code < 0 && !/Connection closed|Request timed out/.test(error.message);

async function main() {
  const args = parse(process.argv.slice(2));
  const api = await sdk(args.sdk);
  const mode = args.mode === 'modern' ? { pin: '2026-07-28' } : args.mode;
  const client = new api.Client({ name: 'peer', version: '1.0.0' }, args.sdk === 'v2' ? { versionNegotiation: { mode } } : {});
  const transport = args.stdio
    ? new api.StdioClientTransport({ command: args.stdio[0], args: args.stdio.slice(1), env: { ...process.env, ...args.env }, stderr: 'inherit' })
    : new (args.sse ? api.SSEClientTransport : api.StreamableHTTPClientTransport)(new URL(args.url), { requestInit: { headers: args.headers } });
  await client.connect(transport);
  put('server', { protocol: client.getNegotiatedProtocolVersion?.() ?? transport.protocolVersion ?? null, info: client.getServerVersion() ?? null });
  for (const kind of args.list) {
    try {
      let cursor;
      do {
        const verb = `list${kind[0].toUpperCase()}${kind.slice(1)}`;
        const page = await client[verb](cursor === undefined ? {} : { cursor });
        for (const item of page[kind]) put(LISTS[kind], { [LISTS[kind]]: item });
        cursor = page.nextCursor;
      } while (cursor !== undefined);
    } catch (error) {
      if (!answered(error)) throw error;
      put('list', { name: kind, error: fault(error) });
    }
  }
  for (const { name, arguments: given } of args.requests) {
    const options = { timeout: args.timeout * 1000 };
    try {
      const call = { name, arguments: given };
      const result = await (args.sdk === 'v1' ? client.callTool(call, undefined, options) : client.callTool(call, options));
      put('call', { name, result });
    } catch (error) {
      if (!answered(error)) throw error;
      put('call', { name, error: fault(error) });
    }
  }
  await client.close();
}

main().then(() => process.exit(0), error => {
  console.error(`client.mjs: ${error.name}: ${error.message}`);
  process.exit(3);
});
