//! Approved tool definitions: digests, drift, collisions, look-alike names.
