//! From a session's summary to a signed record.

use crate::record::{
    Appraisal, BuildProvenance, Confirmation, Jwk, Model, PROFILE, Policy, Reference, Runtime, ToolTranscript,
    TrustRecord,
};
use crate::session::SessionSummary;
use crate::subject::TrustDomain;
use interlock_ledger::checkpoint::Checkpoint;
use interlock_model::{Digest, UnixMillis};
use interlock_signature::Signer;

/// What a claim says beyond what the session's entries tell.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The operator's trust domain.
    pub trust_domain: TrustDomain,
    /// Digest of the running binary.
    pub binary: Digest,
    /// A checkpoint of the log that covers the session's entries.
    pub checkpoint: Checkpoint,
    /// Now.
    pub issued_at: UnixMillis,
}

/// Why no claim is issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// No policy judged a call or was in force.
    #[error("no policy was in force in this session, so there is nothing to claim")]
    NoPolicy,
    /// The entries do not begin with a start of the daemon.
    #[error("the session's entries do not say which build wrote them")]
    NoBuild,
    /// The checkpoint is older than the session's last entry.
    #[error("the checkpoint of size {size} does not cover the session's last entry, {last}")]
    Uncovered {
        /// The checkpoint's size.
        size: u64,
        /// Index of the last entry.
        last: u64,
    },
}

/// How a reference to a transcript is marked; registered by the profile.
pub(crate) const TRANSCRIPT: &str = "behavior-trace";
/// How a reference to a checkpoint is marked.
pub(crate) const CHECKPOINT: &str = "ledger-checkpoint";

impl Facts {
    /// The signed record of the session.
    ///
    /// # Errors
    ///
    /// [`IssueError`].
    pub fn issue(&self, session: &SessionSummary, signer: &dyn Signer) -> Result<TrustRecord, IssueError> {
        let Checkpoint { origin, size, .. } = &self.checkpoint;
        if *size <= session.last {
            return Err(IssueError::Uncovered { size: *size, last: session.last });
        }
        let policy = session.policy.as_ref().ok_or(IssueError::NoPolicy)?;
        let build = session.build.as_deref().ok_or(IssueError::NoBuild)?;
        let record = TrustRecord {
            appraisal: Appraisal { status: "none".into(), verifier: self.trust_domain.issuer() },
            build_provenance: BuildProvenance { digest: self.binary, slsa_level: 0 },
            cnf: Confirmation { jwk: Jwk::of(&signer.public_key()) },
            data_class: session.sensitivity.as_str().into(),
            eat_profile: PROFILE.into(),
            iat: self.issued_at.0 / 1000,
            model: Model { model_id: "undeclared".into(), provider: "undeclared".into() },
            policy: Policy {
                bundle_hash: policy.digest,
                enforcement_mode: enforcement_mode(session).into(),
                version: policy_version(session),
            },
            references: vec![
                Reference {
                    digest: session.transcript,
                    id: session.session.to_string(),
                    rel: TRANSCRIPT.into(),
                    resolver: origin.to_string(),
                },
                Reference {
                    digest: checkpoint_digest(&self.checkpoint),
                    id: size.to_string(),
                    rel: CHECKPOINT.into(),
                    resolver: origin.to_string(),
                },
            ],
            runtime: Runtime {
                measurement: software_commitment(build, &self.binary, &policy.digest, session.catalog.as_ref()),
                platform: "software-only".into(),
            },
            signature: None,
            subject: self.trust_domain.subject_of(&session.agent),
            tool_transcript: ToolTranscript { call_count: session.calls(), hash: session.transcript },
        };
        Ok(record.sign(signer))
    }
}

/// What stands for a measurement where no hardware measured: a digest over the build's version, the
/// binary's digest, the policy bundle's and the catalog's (nothing where there is no catalog), each as the
/// text that entries and records have, under the label `interlock/software-commitment/v1`
/// ([`Digest::of_parts`]). Anyone with the transcript can recompute it; it proves nothing about the machine.
#[must_use]
pub fn software_commitment(build: &str, binary: &Digest, policy: &Digest, catalog: Option<&Digest>) -> Digest {
    let catalog = catalog.map(Digest::to_string).unwrap_or_default();
    Digest::of_parts(
        "interlock/software-commitment/v1",
        &[build.as_bytes(), binary.to_string().as_bytes(), policy.to_string().as_bytes(), catalog.as_bytes()],
    )
}

/// Digest of a checkpoint's text, without signatures: witnesses may still add theirs.
pub(crate) fn checkpoint_digest(checkpoint: &Checkpoint) -> Digest {
    Digest::of(checkpoint.to_string().as_bytes())
}

/// One call judged in a mode that forwards denials makes the whole session `advisory`.
pub(crate) const fn enforcement_mode(session: &SessionSummary) -> &'static str {
    if session.enforcing { "enforce" } else { "advisory" }
}

/// `7`, or, where several bundles judged calls, `5, 6, 7 in turn; the hash is of 7`.
pub(crate) fn policy_version(session: &SessionSummary) -> String {
    let versions: Vec<String> = session.policies.iter().map(|p| p.version.to_string()).collect();
    let last = session.policy.as_ref().map(|p| p.version.to_string()).unwrap_or_default();
    match versions.as_slice() {
        [] | [_] => last,
        many => format!("{} in turn; the hash is of {last}", many.join(", ")),
    }
}
