//! Bundles to begin with. They read only what every tool has, so they validate over any catalog.

use crate::bundle::{BundleFiles, MANIFEST, write_manifest};
use interlock_signature::Signer;

/// Which bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Reads and local writes allowed, the rest asks a human, secret-looking paths denied.
    Starter,
    /// Everything allowed and recorded.
    Open,
    /// Nothing allowed.
    Closed,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Starter, Self::Open, Self::Closed];

    /// The name used on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starter => "starter",
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

/// The preset's files, with a manifest of version 1.
#[must_use]
pub fn preset_files(preset: Preset, signer: Option<&dyn Signer>) -> BundleFiles {
    let files: &[(&str, &str)] = match preset {
        Preset::Starter => &[
            ("reads.cedar", include_str!("../starter/starter/reads.cedar")),
            ("writes.cedar", include_str!("../starter/starter/writes.cedar")),
            ("step_up.cedar", include_str!("../starter/starter/step_up.cedar")),
            ("offers.cedar", include_str!("../starter/starter/offers.cedar")),
            ("questions.cedar", include_str!("../starter/starter/questions.cedar")),
            ("secrets.cedar", include_str!("../starter/starter/secrets.cedar")),
            ("tests/starter.json", include_str!("../starter/starter/tests/starter.json")),
        ],
        Preset::Open => &[
            ("open.cedar", include_str!("../starter/open/open.cedar")),
            ("tests/open.json", include_str!("../starter/open/tests/open.json")),
        ],
        Preset::Closed => &[
            ("closed.cedar", include_str!("../starter/closed/closed.cedar")),
            ("tests/closed.json", include_str!("../starter/closed/tests/closed.json")),
        ],
    };
    let mut files: BundleFiles =
        files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect();
    let manifest = write_manifest(&files, 1, signer);
    files.insert(MANIFEST.to_owned(), manifest);
    files
}
