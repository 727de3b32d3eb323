#!/usr/bin/env python3
"""`langchain-mcp-adapters` as the client: tools as LangChain sees them, called as an agent of its calls them.

    langchain_client.py [--at-once N] <TARGETS

Targets and output are those of client.py, the shapes are LangChain's: a tool is its name, description, argument schema and
metadata; a call's result is the content and the artifact of the tool message, or the text of the `ToolException`.
"""

import json
import os
import sys

import anyio
from client import each, parse, put
from langchain_core.tools import ToolException
from langchain_mcp_adapters.client import MultiServerMCPClient


def connection(target):
    if "stdio" in target:
        command, *args = target["stdio"]
        return {"transport": "stdio", "command": command, "args": args, "env": {**os.environ, **target.get("env", {})}}
    return {"transport": "sse" if target.get("sse") else "http", "url": target["url"], "headers": target.get("headers")}


def plain(message):
    """The message without the ids that LangChain makes up for content blocks."""
    blocks = [{key: value for key, value in block.items() if key != "id"} if isinstance(block, dict) else block for block in message.content]
    return {"content": blocks, "artifact": message.artifact, "status": message.status}


async def ask(args, target):
    from langchain_mcp_adapters.tools import load_mcp_tools

    async with MultiServerMCPClient({"peer": connection(target)}).session("peer") as session:
        tools = {tool.name: tool for tool in await load_mcp_tools(session)}
        put(target, "server", protocol=None, info=None)
        for tool in tools.values():
            put(target, "tool", tool={"name": tool.name, "description": tool.description, "args_schema": tool.args_schema, "metadata": tool.metadata})
        for call in target.get("calls", []):
            try:
                message = await tools[call["name"]].ainvoke({"type": "tool_call", "id": "1", "name": call["name"], "args": call.get("arguments", {})})
            except ToolException as error:
                put(target, "call", name=call["name"], error={"message": str(error)})
            else:
                put(target, "call", name=call["name"], result=plain(message))


if __name__ == "__main__":
    anyio.run(each, ask, parse(sys.argv[1:]), json.load(sys.stdin))
