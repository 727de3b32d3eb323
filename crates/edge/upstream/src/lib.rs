//! MCP clients toward servers: streamable HTTP and stdio children.
