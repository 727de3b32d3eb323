//! Offline verification of everything Interlock issues.
