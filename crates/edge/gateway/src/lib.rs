//! Fronts toward hosts: HTTP, stdio, the administration socket.
