#!/usr/bin/env python3
"""An MCP client on the official Python SDK, for tests that compare a server reached directly with the same server reached
through the gateway.

    client.py [--mode auto|legacy|REVISION] [--at-once N] [--timeout SECONDS] <TARGETS

Runs in either venv: version 2 of the SDK (--mode as its `Client` has it, `auto` by default) or version 1 (always legacy).
TARGETS is a JSON array; each target is one connection, and one of

    {"target": ID, "url": URL, "headers": {...}, "sse": true, ...}       streamable HTTP, or (version 1 only) HTTP+SSE
    {"target": ID, "stdio": [COMMAND, ARG...], "env": {...}, ...}        a child that speaks on its standard streams

with "list": ["tools"|"resources"|"prompts"...] (tools where absent) and "calls": [{"name": ..., "arguments": {...}}...].
Prints one JSON object per line, members sorted, with the target's ID: {"kind":"server"}, what was listed
({"kind":"tool"|"resource"|"prompt"}, every page followed), one {"kind":"call"} per call with either `result` or `error` {code,
message}; or {"kind":"failed"} where there was no connection, or it broke. A refused call is an answer.
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
    parser.add_argument("--mode", default="auto")
    parser.add_argument("--at-once", type=int, default=1, help="targets worked on at the same time")
    parser.add_argument("--timeout", type=float, default=60, help="seconds for one call")
    return parser.parse_args(argv)


def plain(model):
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


def put(target, kind, **members):
    print(json.dumps({"target": target["target"], "kind": kind, **members}, sort_keys=True, ensure_ascii=False), flush=True)


def fault(error):
    return {"code": error.error.code, "message": error.error.message}


def child(target):
    command, *args = target["stdio"]
    return mcp.StdioServerParameters(command=command, args=args, env={**os.environ, **target.get("env", {})})


@contextlib.asynccontextmanager
async def connect_2(args, target):
    """Version 2: the high-level `Client`, whose verbs answer with pages and results."""
    async with contextlib.AsyncExitStack() as stack:
        if "stdio" in target:
            peer = child(target)
        else:
            from mcp.client.streamable_http import streamable_http_client
            from mcp.shared._httpx_utils import create_mcp_http_client

            assert not target.get("sse"), "HTTP+SSE needs version 1 of the SDK"
            http = await stack.enter_async_context(create_mcp_http_client(headers=target.get("headers")))
            peer = streamable_http_client(target["url"], http_client=http)
        client = await stack.enter_async_context(mcp.Client(peer, mode=args.mode, read_timeout_seconds=args.timeout))
        yield client, client.protocol_version, client.server_info


@contextlib.asynccontextmanager
async def connect_1(args, target):
    """Version 1: a transport and a `ClientSession` over it."""
    from datetime import timedelta

    async with contextlib.AsyncExitStack() as stack:
        if "stdio" in target:
            peer = mcp.stdio_client(child(target))
        elif target.get("sse"):
            from mcp.client.sse import sse_client

            peer = sse_client(target["url"], headers=target.get("headers"))
        else:
            from mcp.client.streamable_http import streamablehttp_client

            peer = streamablehttp_client(target["url"], headers=target.get("headers"))
        reader, writer, *_ = await stack.enter_async_context(peer)
        session = await stack.enter_async_context(
            mcp.ClientSession(reader, writer, read_timeout_seconds=timedelta(seconds=args.timeout))
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


async def ask(args, target):
    """One connection to the target: who it is, what it has, what it answers."""
    async with (connect_2 if VERSION_2 else connect_1)(args, target) as (client, protocol, info):
        put(target, "server", protocol=protocol, info=plain(info) if info else None)
        for kind in target.get("list", ["tools"]):
            try:
                async for item in everything_listed(client, kind):
                    put(target, LISTS[kind], **{LISTS[kind]: item})
            except ERROR as error:
                put(target, "list", name=kind, error=fault(error))
        for call in target.get("calls", []):
            try:
                result = await client.call_tool(call["name"], call.get("arguments"))
            except ERROR as error:
                put(target, "call", name=call["name"], error=fault(error))
            else:
                put(target, "call", name=call["name"], result=plain(result))


async def each(ask, args, targets):
    limit = anyio.CapacityLimiter(args.at_once)

    async def one(target):
        async with limit:
            try:
                await ask(args, target)
            except Exception as error:  # whatever broke, the test wants one line, not a trace of task groups
                while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
                    error = error.exceptions[0]
                put(target, "failed", message=f"{type(error).__name__}: {error}")

    async with anyio.create_task_group() as group:
        for target in targets:
            group.start_soon(one, target)


if __name__ == "__main__":
    anyio.run(each, ask, parse(sys.argv[1:]), json.load(sys.stdin))
