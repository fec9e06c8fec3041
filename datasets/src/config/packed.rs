//! What documents of one window are to each other.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Documents in a packed window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Packed {
    /// One text: neither attention nor positions are reset.
    #[default]
    Join,
    /// They do not see each other and positions start from 0 in each: what each is to the model if read alone (prepacking,
    /// Zhao et al. 2024, arXiv 2404.09529). Positions alone do not restart, for no scheme defines the distance to a token
    /// that stands later.
    Restart,
    /// They do not see each other; positions run on through the window (intra-document masking, Zhao et al. 2024,
    /// arXiv 2402.13991).
    Mask,
}

impl Packed {
    /// Whether documents are one text.
    pub fn is_join(&self) -> bool {
        *self == Packed::Join
    }

    /// What it does, for descriptions.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Packed::Join => "",
            Packed::Restart => ", documents hide each other and restart positions",
            Packed::Mask => ", documents hide each other",
        }
    }
}
