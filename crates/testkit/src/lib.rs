//! In-memory ports and fakes for tests; development only.
