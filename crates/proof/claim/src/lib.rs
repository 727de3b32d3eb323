//! TRACE trust records: build and verify.
