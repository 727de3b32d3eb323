#!/usr/bin/env python3
"""An MCP client on the official Python SDK, for tests that compare a server reached directly with the same server reached
through the gateway.

    client.py [--mode auto|legacy|REVISION] [--calls FILE] [--call NAME JSON]... [--list KIND,...] TARGET

TARGET is one of
    --url URL [--header 'Name: value']... [--sse]     streamable HTTP; with --sse (version 1 only) the old HTTP+SSE transport
    --stdio [--env NAME=VALUE]... COMMAND [ARG...]    a child that speaks on its standard streams; ends the options

Runs in either venv: version 2 of the SDK (--mode as its `Client` has it, `auto` by default) or version 1 (always legacy).
FILE holds a JSON array of {"name": ..., "arguments": {...}}; `-` is standard input. Prints one JSON object per line, members
sorted: {"kind":"server"}, then what was listed ({"kind":"tool"|"resource"|"prompt"}, every page followed), then one
{"kind":"call"} per call with either `result` or `error` {code, message}. A refused call is an answer: exit code 0.
Exit codes: 0 all was answered; 2 usage; 3 no connection, or it broke.
"""

import argparse
import contextlib
import importlib.metadata
import json
import os
import sys

import anyio
import mcp

VERSION_2 = importlib.metadata.version("mcp").split(".")[0] == "2"
ERROR = mcp.MCPError if VERSION_2 else mcp.McpError
LISTS = {"tools": "tool", "resources": "resource", "prompts": "prompt"}


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url")
    parser.add_argument("--header", action="append", default=[])
    parser.add_argument("--sse", action="store_true")
    parser.add_argument("--stdio", nargs=argparse.REMAINDER)
    parser.add_argument("--env", action="append", default=[])
    parser.add_argument("--mode", default="auto")
    parser.add_argument("--list", default="tools")
    parser.add_argument("--calls")
    parser.add_argument("--call", nargs=2, action="append", default=[], metavar=("NAME", "JSON"))
    parser.add_argument("--timeout", type=float, default=60, help="seconds for one call")
    args = parser.parse_args(argv)
    if bool(args.url) == bool(args.stdio):
        parser.error("give either --url or --stdio")
    if args.sse and VERSION_2:
        parser.error("--sse needs version 1 of the SDK")
    args.list = [kind for kind in args.list.split(",") if kind]
    if unknown := set(args.list) - set(LISTS):
        parser.error(f"--list knows {', '.join(LISTS)}, not {', '.join(unknown)}")
    args.headers = dict(header.split(": ", 1) for header in args.header)
    args.requests = [{"name": name, "arguments": json.loads(text)} for name, text in args.call]
    if args.calls:
        with sys.stdin if args.calls == "-" else open(args.calls, encoding="utf-8") as file:
            args.requests = json.load(file) + args.requests
    return args


def plain(model):
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


def put(kind, **members):
    print(json.dumps({"kind": kind, **members}, sort_keys=True, ensure_ascii=False), flush=True)


def child(args):
    env = dict(pair.split("=", 1) for pair in args.env)
    return mcp.StdioServerParameters(command=args.stdio[0], args=args.stdio[1:], env={**os.environ, **env})


@contextlib.asynccontextmanager
async def connect_2(args):
    """Version 2: the high-level `Client`, whose verbs answer with pages and results."""
    async with contextlib.AsyncExitStack() as stack:
        if args.stdio:
            target = child(args)
        else:
            from mcp.client.streamable_http import streamable_http_client
            from mcp.shared._httpx_utils import create_mcp_http_client

            http = await stack.enter_async_context(create_mcp_http_client(headers=args.headers))
            target = streamable_http_client(args.url, http_client=http)
        client = await stack.enter_async_context(
            mcp.Client(target, mode=args.mode, read_timeout_seconds=args.timeout)
        )
        yield client, client.protocol_version, client.server_info


@contextlib.asynccontextmanager
async def connect_1(args):
    """Version 1: a transport and a `ClientSession` over it."""
    from datetime import timedelta

    async with contextlib.AsyncExitStack() as stack:
        if args.stdio:
            streams = await stack.enter_async_context(mcp.stdio_client(child(args)))
        elif args.sse:
            from mcp.client.sse import sse_client

            streams = await stack.enter_async_context(sse_client(args.url, headers=args.headers))
        else:
            from mcp.client.streamable_http import streamablehttp_client

            streams = await stack.enter_async_context(streamablehttp_client(args.url, headers=args.headers))
        session = await stack.enter_async_context(
            mcp.ClientSession(streams[0], streams[1], read_timeout_seconds=timedelta(seconds=args.timeout))
        )
        hello = await session.initialize()
        yield session, hello.protocolVersion, hello.serverInfo


async def everything_listed(client, kind):
    cursor = None
    while True:
        page = plain(await getattr(client, f"list_{kind}")(cursor=cursor))
        for item in page[kind]:
            yield item
        cursor = page.get("nextCursor")
        if cursor is None:
            return


async def run(args):
    async with (connect_2 if VERSION_2 else connect_1)(args) as (client, protocol, info):
        put("server", protocol=protocol, info=plain(info) if info else None)
        for kind in args.list:
            try:
                async for item in everything_listed(client, kind):
                    put(LISTS[kind], **{LISTS[kind]: item})
            except ERROR as error:
                put("list", name=kind, error={"code": error.error.code, "message": error.error.message})
        for request in args.requests:
            try:
                result = await client.call_tool(request["name"], request.get("arguments"))
            except ERROR as error:
                put("call", name=request["name"], error={"code": error.error.code, "message": error.error.message})
            else:
                put("call", name=request["name"], result=plain(result))


def main():
    args = parse(sys.argv[1:])
    try:
        anyio.run(run, args)
    except Exception as error:  # whatever broke, the test wants one line, not a trace of task groups
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        print(f"client.py: {type(error).__name__}: {error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
