// An MCP server of both eras, on the official TypeScript SDK, with every fixture that the server scenarios of the official
// conformance suite ask for, and a few of our own (x_*) that show what a gateway loses. It passes all of them itself.
//
//   reference.mjs --port 3101 [--path /mcp] [--era dual|modern|legacy] [--name NAME]
//   reference.mjs --stdio     [--era ...]
//
// Needs the packages of tests/peers/npm in a node_modules beside it.
import http from 'node:http';
import { createHash, randomUUID, randomBytes } from 'node:crypto';
import {
  McpServer, ResourceTemplate, createMcpHandler, isLegacyRequest, inputRequired, inputResponse, fromJsonSchema,
  createRequestStateCodec
} from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import { NodeStreamableHTTPServerTransport, toNodeHandler, toWebRequest, localhostHostValidation, localhostOriginValidation } from '@modelcontextprotocol/node';

const argv = process.argv.slice(2);
const opt = (n, d) => { const i = argv.indexOf('--' + n); return i < 0 ? d : argv[i + 1]; };
const PORT = Number(opt('port', process.env.PORT ?? 3101));
const HOST = opt('host', '127.0.0.1');
const PATH = opt('path', '/mcp');
const ERA = opt('era', 'dual');
const NAME = opt('name', 'reference-upstream');
const STDIO = argv.includes('--stdio');

const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC';
const WAV = Buffer.from('524946462400000057415645666d74201000000001000100401f0000803e0000020010006461746100000000', 'hex').toString('base64');
const sleep = ms => new Promise(r => setTimeout(r, ms));
const text = t => ({ content: [{ type: 'text', text: t }] });
const obj = (properties = {}, required = [], more = {}) => fromJsonSchema({ type: 'object', properties, required, ...more });
const str = (description) => ({ type: 'string', ...(description ? { description } : {}) });
const stateCodec = createRequestStateCodec({ key: randomBytes(32) });
const ask = (message, properties) => inputRequired.elicit({ message, requestedSchema: { type: 'object', properties, required: Object.keys(properties) } });
// The bare client response for one key of inputResponses, whatever its kind.
const got = (ctx, key) => ctx.mcpReq.inputResponses?.[key];
const accepted = (ctx, key, field) => { const r = got(ctx, key); const v = r?.action === 'accept' ? r.content?.[field] : undefined; return v; };
const caps = ctx => ctx.mcpReq.envelope?.['io.modelcontextprotocol/clientCapabilities'] ?? {};

const SCHEMA_2020_12 = {
  $schema: 'https://json-schema.org/draft/2020-12/schema', type: 'object',
  $defs: { address: { $anchor: 'addressDef', type: 'object', properties: { street: { type: 'string' }, city: { type: 'string' } } } },
  properties: { name: { type: 'string' }, address: { $ref: '#/$defs/address' }, contactMethod: { type: 'string', enum: ['phone', 'email'] }, phone: { type: 'string' }, email: { type: 'string' } },
  allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
  if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] }, then: { required: ['phone'] }, else: { required: ['email'] },
  additionalProperties: false
};

const TASKS = 'io.modelcontextprotocol/tasks';
let notify; // the modern handler's publish side
const legacyServers = new Set();
const change = kind => {
  if (kind === 'tools') { notify?.toolsChanged(); for (const s of legacyServers) s.sendToolListChanged(); }
  else { notify?.promptsChanged(); for (const s of legacyServers) s.sendPromptListChanged(); }
};

function build(req) {
  const era = req?.era ?? 'legacy';
  const s = new McpServer({ name: NAME, version: '1.0.0' }, {
    capabilities: { ...(era === 'modern' ? { extensions: { [TASKS]: {} } } : {}), logging: {}, completions: {}, tools: { listChanged: true }, prompts: { listChanged: true }, resources: { listChanged: true, subscribe: true } },
    instructions: 'Reference upstream for the conformance bars.',
    cacheHints: Object.fromEntries(['tools/list', 'prompts/list', 'resources/list', 'resources/templates/list', 'resources/read', 'server/discover'].map(m => [m, { ttlMs: 1000, cacheScope: 'public' }])),
    requestState: { verify: stateCodec.verify }
  });
  const tool = (name, description, handler, inputSchema, more = {}) => s.registerTool(name, { description, inputSchema: inputSchema ?? obj(), ...more }, handler);

  // ---- plain tools, both eras
  tool('test_simple_text', 'Plain text', async () => text('This is a simple text response for testing.'));
  tool('test_image_content', 'One image', async () => ({ content: [{ type: 'image', data: PNG, mimeType: 'image/png' }] }));
  tool('test_audio_content', 'One sound', async () => ({ content: [{ type: 'audio', data: WAV, mimeType: 'audio/wav' }] }));
  tool('test_embedded_resource', 'An embedded resource', async () => ({ content: [{ type: 'resource', resource: { uri: 'test://embedded-resource', mimeType: 'text/plain', text: 'This is an embedded resource content.' } }] }));
  tool('test_multiple_content_types', 'Text, image and resource', async () => ({ content: [
    { type: 'text', text: 'Multiple content types test:' }, { type: 'image', data: PNG, mimeType: 'image/png' },
    { type: 'resource', resource: { uri: 'test://mixed-content-resource', mimeType: 'application/json', text: JSON.stringify({ test: 'data', value: 123 }) } }] }));
  tool('test_error_handling', 'Always fails', async () => { throw new Error('This tool intentionally returns an error for testing'); });
  tool('test_tool_with_logging', 'Three log messages', async (_a, ctx) => {
    await ctx.mcpReq.log('info', 'Tool execution started'); await sleep(50);
    await ctx.mcpReq.log('info', 'Tool processing data'); await sleep(50);
    await ctx.mcpReq.log('info', 'Tool execution completed');
    return text('Tool with logging executed successfully');
  });
  tool('test_tool_with_progress', 'Three progress notices', async (_a, ctx) => {
    const progressToken = ctx.mcpReq._meta?.progressToken;
    for (const progress of [0, 50, 100]) {
      if (progressToken !== undefined) await ctx.mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress, total: 100 } });
      if (progress < 100) await sleep(50);
    }
    return text(String(progressToken ?? 'no progress token'));
  });
  tool('json_schema_2020_12_tool', 'A tool with a rich input schema', async a => text(JSON.stringify(a)), fromJsonSchema(SCHEMA_2020_12));
  tool('test_custom_header', 'A parameter mirrored into a header (SEP-2243)', async a => text(`value=${a.value}`),
    obj({ value: { type: 'string', 'x-mcp-header': 'Value' } }, ['value']));

  // ---- server-to-client interactions; one handler serves both eras (MRTR, or real requests through the SDK's legacy shim)
  tool('test_sampling', 'Asks the client for a completion', async (a, ctx) => {
    const r = got(ctx, 'llm');
    if (!r) return inputRequired({ inputRequests: { llm: inputRequired.createMessage({ messages: [{ role: 'user', content: { type: 'text', text: a.prompt } }], maxTokens: 100 }) } });
    return text(`LLM response: ${r.content?.text ?? JSON.stringify(r.content)}`);
  }, obj({ prompt: str('The prompt to send to the LLM') }, ['prompt']));
  tool('test_elicitation', 'Asks the user', async (a, ctx) => {
    const r = got(ctx, 'user');
    if (!r) return inputRequired({ inputRequests: { user: ask(a.message, { username: { type: 'string', description: "User's response" }, email: { type: 'string', description: "User's email address" } }) } });
    return text(`User response: action=${r.action}, content=${JSON.stringify(r.content ?? {})}`);
  }, obj({ message: str('The message to show the user') }, ['message']));
  const form = (name, key, properties) => tool(name, 'Elicitation form', async (_a, ctx) => {
    const r = got(ctx, key);
    if (!r) return inputRequired({ inputRequests: { [key]: inputRequired.elicit({ message: 'Please review the form', requestedSchema: { type: 'object', properties, required: [] } }) } });
    return text(`Elicitation completed: action=${r.action}, content=${JSON.stringify(r.content ?? {})}`);
  });
  form('test_elicitation_sep1034_defaults', 'defaults', {
    name: { type: 'string', default: 'John Doe' }, age: { type: 'integer', default: 30 }, score: { type: 'number', default: 95.5 },
    status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' }, verified: { type: 'boolean', default: true } });
  form('test_elicitation_sep1330_enums', 'enums', {
    untitledSingle: { type: 'string', enum: ['option1', 'option2', 'option3'] },
    titledSingle: { type: 'string', oneOf: [1, 2, 3].map(i => ({ const: `value${i}`, title: ['First', 'Second', 'Third'][i - 1] + ' Option' })) },
    legacyEnum: { type: 'string', enum: ['opt1', 'opt2', 'opt3'], enumNames: ['Option One', 'Option Two', 'Option Three'] },
    untitledMulti: { type: 'array', items: { type: 'string', enum: ['option1', 'option2', 'option3'] } },
    titledMulti: { type: 'array', items: { anyOf: [1, 2, 3].map(i => ({ const: `value${i}`, title: ['First', 'Second', 'Third'][i - 1] + ' Choice' })) } } });
  tool('test_reconnection', 'Closes its stream in mid-call (SEP-1699)', async (_a, ctx) => {
    await sleep(100); ctx.http?.closeSSE?.(); await sleep(100); return text('Reconnection test completed');
  });

  // ---- multi round-trip fixtures (SEP-2322)
  const NAME_FORM = { name: { type: 'string' } };
  tool('test_input_required_result_elicitation', 'MRTR: one elicitation', async (_a, ctx) => {
    const name = accepted(ctx, 'user_name', 'name');
    return typeof name === 'string' ? text(`Hello, ${name}!`) : inputRequired({ inputRequests: { user_name: ask('What is your name?', NAME_FORM) } });
  });
  const capital = () => inputRequired.createMessage({ messages: [{ role: 'user', content: { type: 'text', text: 'What is the capital of France?' } }], maxTokens: 100 });
  tool('test_input_required_result_sampling', 'MRTR: one sampling', async (_a, ctx) => {
    const r = got(ctx, 'capital_question');
    return r?.content ? text(`The model said: ${r.content.text}`) : inputRequired({ inputRequests: { capital_question: capital() } });
  });
  tool('test_input_required_result_list_roots', 'MRTR: roots', async (_a, ctx) => {
    const r = got(ctx, 'client_roots');
    return Array.isArray(r?.roots) ? text(`Roots: ${r.roots.map(x => x.uri).join(', ')}`) : inputRequired({ inputRequests: { client_roots: inputRequired.listRoots() } });
  });
  const OK_FORM = { ok: { type: 'boolean' } };
  const stateful = (name, kind, done) => tool(name, 'MRTR: carries requestState', async (_a, ctx) => {
    const state = ctx.mcpReq.requestState();
    if (state?.kind === kind && got(ctx, 'confirm')) return text(done);
    return inputRequired({ inputRequests: { confirm: ask('Please confirm', OK_FORM) }, requestState: await stateCodec.mint({ kind, n: randomUUID() }) });
  });
  stateful('test_input_required_result_request_state', 'state', 'state-ok');
  stateful('test_input_required_result_tampered_state', 'tamper', 'integrity-ok');
  tool('test_input_required_result_multiple_inputs', 'MRTR: three inputs at once', async (_a, ctx) => {
    const name = accepted(ctx, 'user_name', 'name'), g = got(ctx, 'greeting'), r = got(ctx, 'client_roots');
    if (name && g && r && ctx.mcpReq.requestState()?.kind === 'multi') return text(`${g.content?.text}, ${name} (${r.roots?.length} roots)`);
    return inputRequired({ inputRequests: {
      user_name: ask('What is your name?', NAME_FORM),
      greeting: inputRequired.createMessage({ messages: [{ role: 'user', content: { type: 'text', text: 'Generate a greeting' } }], maxTokens: 50 }),
      client_roots: inputRequired.listRoots() }, requestState: await stateCodec.mint({ kind: 'multi' }) });
  });
  tool('test_input_required_result_multi_round', 'MRTR: two rounds', async (_a, ctx) => {
    const state = ctx.mcpReq.requestState();
    if (state?.step === 2 && accepted(ctx, 'step2', 'color')) return text(`${state.name} likes ${accepted(ctx, 'step2', 'color')}`);
    const name = accepted(ctx, 'step1', 'name');
    if (state?.step === 1 && name) return inputRequired({ inputRequests: { step2: ask('Step 2: What is your favorite color?', { color: { type: 'string' } }) }, requestState: await stateCodec.mint({ step: 2, name }) });
    return inputRequired({ inputRequests: { step1: ask('Step 1: What is your name?', NAME_FORM) }, requestState: await stateCodec.mint({ step: 1 }) });
  });
  tool('test_input_required_result_capabilities', 'MRTR: only what the client can do', async (_a, ctx) => {
    const r = ctx.mcpReq.inputResponses; const c = caps(ctx);
    if (r && Object.keys(r).length) return text(`capabilities-ok: ${Object.keys(r).join(',')}`);
    const inputRequests = {};
    if (c.elicitation) inputRequests.elicit_input = ask('Elicitation input', { value: { type: 'string' } });
    if (c.sampling) inputRequests.sample_input = capital();
    return Object.keys(inputRequests).length ? inputRequired({ inputRequests, requestState: await stateCodec.mint({ kind: 'caps' }) }) : text('No supported capabilities declared');
  });

  // ---- diagnostics of the stateless scenario (SEP-2575)
  tool('test_missing_capability', 'Needs sampling', async (_a, ctx) => {
    // On the modern era the SDK answers -32021 by itself when an input request needs an undeclared capability.
    if (era === 'modern' && !got(ctx, 'llm')) return inputRequired({ inputRequests: { llm: capital() } });
    return text('sampling declared');
  });
  tool('test_streaming_elicitation', 'Progress, then an input request', async (_a, ctx) => {
    if (got(ctx, 'user_name')) return text('Streaming complete');
    await ctx.mcpReq.notify({ method: 'notifications/progress', params: { progressToken: ctx.mcpReq._meta?.progressToken ?? 'token', progress: 50, total: 100 } });
    return inputRequired({ inputRequests: { user_name: ask('What is your name?', NAME_FORM) } });
  });
  tool('test_logging_tool', 'Logs only if asked to', async (_a, ctx) => { await ctx.mcpReq.log('info', 'diagnostic trace'); return text('Logging evaluated'); });
  tool('test_trigger_tool_change', 'Announces a tool-list change', async () => { change('tools'); return text('tools changed'); });
  tool('test_trigger_prompt_change', 'Announces a prompt-list change', async () => { change('prompts'); return text('prompts changed'); });

  // ---- fixtures of our own: what does the gateway let through?
  tool('x_echo', 'Echoes its arguments, and the _meta it was given, as text and as structured content', async (a, ctx) => {
    const seen = { arguments: a, _meta: ctx.mcpReq._meta ?? {}, envelope: ctx.mcpReq.envelope ?? {}, headers: Object.fromEntries(ctx.http?.req?.headers ?? []) };
    return { content: [{ type: 'text', text: JSON.stringify(seen) }], structuredContent: seen, _meta: { 'com.example/echo': 1 } };
  }, fromJsonSchema({ type: 'object' }));
  tool('x_bytes', 'Returns N bytes of text and their SHA-256', async a => {
    const t = 'x'.repeat(a.n); return { content: [{ type: 'text', text: t }], structuredContent: { n: a.n, sha256: createHash('sha256').update(t).digest('hex') } };
  }, obj({ n: { type: 'integer', minimum: 0, maximum: 64 * 1024 * 1024 } }, ['n']));
  tool('x_sleep', 'Waits ms milliseconds; honours cancellation', async (a, ctx) => {
    const t0 = Date.now();
    await new Promise(r => { const t = setTimeout(r, a.ms); ctx.mcpReq.signal.addEventListener('abort', () => { clearTimeout(t); process.stderr.write(`x_sleep cancelled after ${Date.now() - t0} ms\n`); r(); }); });
    return text(`slept ${Date.now() - t0} ms`);
  }, obj({ ms: { type: 'integer', minimum: 0 } }, ['ms']));

  // ---- the tools of the Tasks extension: listed here, and run here only where no task may be made (see `tasks` below)
  for (const [name, def] of Object.entries(TASK_TOOLS)) tool(name, def.description, async (a, ctx) => def.sync ? def.sync(a, ctx) : text('ran without a task'), def.schema);

  // ---- resources
  const res = (name, uri, mimeType, body) => s.registerResource(name, uri, { description: name, mimeType }, async () => ({ contents: [{ uri, mimeType, ...body }] }));
  res('static-text', 'test://static-text', 'text/plain', { text: 'This is the content of the static text resource.' });
  res('static-binary', 'test://static-binary', 'image/png', { blob: PNG });
  res('watched-resource', 'test://watched-resource', 'text/plain', { text: 'Watched resource content' });
  res('example-resource', 'test://example-resource', 'text/plain', { text: 'Example resource' });
  s.registerResource('template', new ResourceTemplate('test://template/{id}/data', { list: undefined, complete: { id: v => ['123', '456'].filter(x => x.startsWith(v)) } }),
    { description: 'A templated resource', mimeType: 'application/json' },
    async (uri, { id }) => ({ contents: [{ uri: uri.href, mimeType: 'application/json', text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }) }] }));
  s.server.setRequestHandler('resources/subscribe', async () => ({}));
  s.server.setRequestHandler('resources/unsubscribe', async () => ({}));

  // ---- prompts
  const user = content => ({ role: 'user', content });
  const argsOf = (...names) => { // a Standard Schema of string arguments, made here to spare a validator dependency
    const json = { type: 'object', properties: Object.fromEntries(names.map(n => [n, { type: 'string', description: n }])), required: names };
    return fromJsonSchema(json);
  };
  s.registerPrompt('test_simple_prompt', { description: 'Without arguments' }, async () => ({ messages: [user({ type: 'text', text: 'This is a simple prompt for testing.' })] }));
  s.registerPrompt('test_prompt_with_arguments', { description: 'With two arguments', argsSchema: argsOf('arg1', 'arg2') },
    async a => ({ messages: [user({ type: 'text', text: `Prompt with arguments: arg1='${a.arg1}', arg2='${a.arg2}'` })] }));
  s.registerPrompt('test_prompt_with_embedded_resource', { description: 'With a resource', argsSchema: argsOf('resourceUri') },
    async a => ({ messages: [user({ type: 'resource', resource: { uri: a.resourceUri, mimeType: 'text/plain', text: 'Embedded resource content for testing.' } }), user({ type: 'text', text: 'Please process the embedded resource above.' })] }));
  s.registerPrompt('test_prompt_with_image', { description: 'With an image' },
    async () => ({ messages: [user({ type: 'image', data: PNG, mimeType: 'image/png' }), user({ type: 'text', text: 'Please analyze the image above.' })] }));
  s.registerPrompt('test_input_required_result_prompt', { description: 'MRTR on prompts/get' }, async ctx => {
    const c = accepted(ctx, 'user_context', 'context');
    return c === undefined ? inputRequired({ inputRequests: { user_context: ask('What context should the prompt use?', { context: { type: 'string' } }) } })
      : { messages: [user({ type: 'text', text: `Context: ${c}` })] };
  });
  s.server.setRequestHandler('completion/complete', async r => {
    const v = r.params.argument.value; const values = ['paris', 'park', 'party'].filter(x => x.startsWith(v));
    return { completion: { values, total: values.length, hasMore: false } };
  });
  return s;
}

// ---- Tasks extension (SEP-2663), modern era over HTTP only; answered before the SDK, which has no server side for it
const KEY = { pv: 'io.modelcontextprotocol/protocolVersion', cc: 'io.modelcontextprotocol/clientCapabilities', si: 'io.modelcontextprotocol/serverInfo' };
const tasksById = new Map();
const reply = (res, id, result) => { res.writeHead(200, { 'content-type': 'application/json' }); res.end(JSON.stringify({ jsonrpc: '2.0', id, result: { resultType: 'complete', ...result, _meta: { [KEY.si]: { name: NAME, version: '1.0.0' } } } })); };
const refuse = (res, status, id, code, message, data) => { res.writeHead(status, { 'content-type': 'application/json' }); res.end(JSON.stringify({ jsonrpc: '2.0', id, error: { code, message, ...(data ? { data } : {}) } })); };
const pub = t => { const { timer, waiting, finish, ...rest } = t; return rest; };
const touch = (t, more) => { Object.assign(t, more, { lastUpdatedAt: new Date().toISOString() }); if (t.status !== 'input_required') delete t.inputRequests; };
const terminal = t => ['completed', 'failed', 'cancelled'].includes(t.status);
function makeTask(res, id, start) {
  const now = new Date().toISOString();
  const t = { taskId: randomUUID(), status: 'working', createdAt: now, lastUpdatedAt: now, ttlMs: 600000, pollIntervalMs: 50 };
  tasksById.set(t.taskId, t);
  start(t);
  reply(res, id, { resultType: 'task', ...(({ result, error, inputRequests, ...seed }) => seed)(pub(t)), status: 'working' });
}
const after = (t, ms, more) => { t.timer = setTimeout(() => { if (!terminal(t)) touch(t, more); }, ms); };
const elicit = (message, properties) => ({ method: 'elicitation/create', params: { message, requestedSchema: { type: 'object', properties, required: Object.keys(properties) } } });
const wait = (t, inputRequests, finish) => { t.waiting = {}; t.finish = finish; touch(t, { status: 'input_required', inputRequests }); };
const fact = r => ({ status: 'completed', result: { content: [{ type: 'text', text: r }], isError: false } });
const TASK_TOOLS = {
  greet: { description: 'Greets at once', schema: obj({ name: { type: 'string' } }), sync: async a => text(`Hello, ${a.name ?? 'friend'}!`) },
  slow_compute: { description: 'Computes for some seconds', schema: obj({ seconds: { type: 'number' }, label: { type: 'string' } }), sync: async a => { await sleep(Math.min(a.seconds ?? 1, 5) * 1000); return text('computed'); },
    task: (t, a) => after(t, (a.seconds ?? 1) * 1000, fact(`computed ${a.label ?? ''}`)) },
  failing_job: { description: 'Always ends in a tool error', required: true, schema: obj({}, []), task: t => after(t, 300, { status: 'completed', result: { content: [{ type: 'text', text: 'the job failed' }], isError: true } }) },
  protocol_error_job: { description: 'Always ends in a protocol error', schema: obj({}, []), task: t => after(t, 100, { status: 'failed', error: { code: -32603, message: 'internal failure' } }) },
  confirm_delete: { description: 'Asks before it deletes', schema: obj({ filename: { type: 'string' } }),
    task: (t, a) => wait(t, { [randomUUID()]: elicit(`Delete ${a.filename ?? 'it'}?`, { confirm: { type: 'boolean' } }) }, () => fact('deleted')) },
  multi_input: { description: 'Asks two things at once', schema: obj({}, []),
    task: t => wait(t, { [randomUUID()]: elicit('First?', { a: { type: 'string' } }), [randomUUID()]: elicit('Second?', { b: { type: 'string' } }) }, () => fact('both answered')) },
  test_tool_with_task: { description: 'Asks first (MRTR), then works as a task', schema: obj({}, []), required: true, mrtr: true }
};
/** Answers a modern-era request of the Tasks extension; false when it is not one. */
function tasks(req, res, m) {
  const p = m.params ?? {}, tool = m.method === 'tools/call' ? TASK_TOOLS[p.name] : undefined;
  const isTask = ['tasks/get', 'tasks/update', 'tasks/cancel'].includes(m.method);
  if (!isTask && !(tool?.task || tool?.mrtr)) return false;
  const declared = !!p._meta?.[KEY.cc]?.extensions?.[TASKS];
  const missing = () => (refuse(res, 400, m.id, -32021, 'Missing required client capability', { requiredCapabilities: { extensions: { [TASKS]: {} } } }), true);
  const wantName = isTask ? p.taskId : p.name;
  if (req.headers['mcp-protocol-version'] !== p._meta?.[KEY.pv] || req.headers['mcp-method'] !== m.method || req.headers['mcp-name'] !== wantName)
    return (refuse(res, 400, m.id, -32020, 'Header mismatch'), true);
  if (!declared) { if (isTask || tool.required) return missing(); return false; }
  if (isTask) {
    const t = tasksById.get(p.taskId);
    if (!t) return (refuse(res, 400, m.id, -32602, 'Unknown task'), true);
    if (m.method === 'tasks/get') return (reply(res, m.id, pub(t)), true);
    if (m.method === 'tasks/cancel') { if (!terminal(t)) { clearTimeout(t.timer); touch(t, { status: 'cancelled' }); } return (reply(res, m.id, {}), true); }
    for (const k of Object.keys(p.inputResponses ?? {})) if (t.inputRequests?.[k]) { t.waiting[k] = p.inputResponses[k]; delete t.inputRequests[k]; }
    if (t.inputRequests && !Object.keys(t.inputRequests).length) { touch(t, { status: 'working' }); after(t, 50, t.finish()); }
    return (reply(res, m.id, {}), true);
  }
  const a = p.arguments ?? {};
  if (tool.mrtr) {
    const name = p.inputResponses?.user_name?.content?.name ?? Object.values(p.inputResponses?.user_name?.content ?? {})[0];
    if (!name) return (reply(res, m.id, { resultType: 'input_required', inputRequests: { user_name: elicit('What is your name?', { name: { type: 'string' } }) } }), true);
    return (makeTask(res, m.id, t => after(t, 100, fact(`worked for ${name}`))), true);
  }
  return (makeTask(res, m.id, t => tool.task(t, a)), true);
}

if (STDIO) {
  serveStdio(build, ERA === 'modern' ? { legacy: 'reject' } : {});
} else {
  const modern = createMcpHandler(build, { legacy: 'reject', onerror: e => process.env.DEBUG && console.error('modern:', e.message) });
  notify = modern.notify;
  const modernNode = toNodeHandler(modern);
  const okHost = localhostHostValidation(), okOrigin = localhostOriginValidation();
  const sessions = new Map();
  const events = new Map(); let seq = 0;
  const eventStore = {
    async storeEvent(streamId, message) { const id = `${streamId}::${String(++seq).padStart(12, '0')}`; events.set(id, { streamId, message }); if (events.size > 5000) events.delete(events.keys().next().value); return id; },
    async getStreamIdForEventId(id) { return id.split('::')[0]; },
    async replayEventsAfter(last, { send }) {
      const streamId = last.split('::')[0];
      for (const [id, e] of [...events].sort((a, b) => a[0] < b[0] ? -1 : 1)) if (e.streamId === streamId && id > last && Object.keys(e.message).length) await send(id, e.message);
      return streamId;
    }
  };
  const legacy = async (req, res, body) => {
    const sid = req.headers['mcp-session-id'];
    if (sid && !sessions.has(sid)) { res.writeHead(404, { 'content-type': 'application/json' }); return res.end(JSON.stringify({ jsonrpc: '2.0', id: body?.id ?? null, error: { code: -32001, message: 'Session not found' } })); }
    let t = sid && sessions.get(sid);
    if (!t) {
      if (body?.method !== 'initialize') { res.writeHead(400, { 'content-type': 'application/json' }); return res.end(JSON.stringify({ jsonrpc: '2.0', id: body?.id ?? null, error: { code: -32000, message: 'Bad Request: no session' } })); }
      t = new NodeStreamableHTTPServerTransport({ sessionIdGenerator: randomUUID, eventStore, retryInterval: 500, onsessioninitialized: id => sessions.set(id, t) });
      const server = build({ era: 'legacy' }); legacyServers.add(server);
      t.onclose = () => { sessions.delete(t.sessionId); legacyServers.delete(server); };
      await server.connect(t);
    }
    return t.handleRequest(req, res, body);
  };
  http.createServer(async (req, res) => {
    try {
      if (new URL(req.url, 'http://x').pathname !== PATH) { res.writeHead(404); return res.end(); }
      if (!okHost(req, res) || !okOrigin(req, res)) return;
      if (req.method !== 'POST') {
        if (ERA !== 'modern' && (req.method === 'GET' || req.method === 'DELETE') && req.headers['mcp-session-id']) return await legacy(req, res);
        res.writeHead(405, { allow: 'POST' }); return res.end();
      }
      const chunks = []; for await (const c of req) chunks.push(c);
      let body; try { body = JSON.parse(Buffer.concat(chunks)); } catch { res.writeHead(400, { 'content-type': 'application/json' }); return res.end('{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}'); }
      if (ERA === 'legacy' || (ERA === 'dual' && await isLegacyRequest(await toWebRequest(req, body)))) return await legacy(req, res, body);
      if (tasks(req, res, body)) return;
      return await modernNode(req, res, body);
    } catch (e) { console.error(e); if (!res.headersSent) res.writeHead(500); res.end(); }
  }).listen(PORT, HOST, () => console.log(`reference upstream running on http://${HOST}:${PORT}${PATH} (era ${ERA})`));
}
