//! Cedar policy bundles: schema from tools, slices, decisions, explanations.
