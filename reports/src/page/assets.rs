//! The style sheet, the script, the font, and the policy that allows exactly these.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::figure::{Theme, variables};

const SHEET: &str = include_str!("../../assets/page.css");
/// The parts of the script in the order in which they use each other; the last starts them.
pub(super) const SCRIPT: &str = concat!(
    include_str!("../../assets/script/state.js"),
    include_str!("../../assets/script/theme.js"),
    include_str!("../../assets/script/choose.js"),
    include_str!("../../assets/script/read.js"),
    include_str!("../../assets/script/compare.js"),
    include_str!("../../assets/script/tables.js"),
    include_str!("../../assets/script/start.js"),
);
const REGULAR: &[u8] = include_bytes!("../../assets/Inter-Regular.woff2");
const SEMIBOLD: &[u8] = include_bytes!("../../assets/Inter-SemiBold.woff2");

/// Colours of the page itself; those of the figures come from the palette.
const LIGHT: &str = "--page:#FBFBFA;--card:#FFFFFF;--head:#F3F4F6;--ink:#1B1F24;--soft:#555D68;--rule:#E3E5E8;\
--edge:#B9BFC7;--link:#0A5C93;--accent:#D55E00;--good:#0B6B4F;--warn:#FFF6EC;--warn-edge:#D55E00;--pickground:#FFF4D6;color-scheme:light;";
const DARK: &str = "--page:#0F1216;--card:#15181D;--head:#1D2127;--ink:#E6E8EB;--soft:#A3ABB6;--rule:#2A2F37;\
--edge:#4A525E;--link:#7CC0F5;--accent:#F0803C;--good:#5FCFA5;--warn:#221A13;--warn-edge:#F0803C;--pickground:#33290F;color-scheme:dark;";

/// The whole style sheet with the font in it.
pub(super) fn style() -> String {
    let light = format!("{LIGHT}{}", variables(Theme::Light));
    let dark = format!("{DARK}{}", variables(Theme::Dark));
    let face = |weight: &str, bytes: &[u8]| {
        format!(
            "@font-face{{font-family:Inter;font-weight:{weight};font-style:normal;\
             src:url(data:font/woff2;base64,{}) format(\"woff2\")}}\n",
            STANDARD.encode(bytes)
        )
    };
    format!(
        "{}{}:root{{{light}}}\n@media (prefers-color-scheme:dark){{:root:not([data-theme=light]){{{dark}}}}}\n\
         :root[data-theme=dark]{{{dark}}}\n{SHEET}@media print{{:root:root:root{{{light}--page:#FFFFFF}}}}\n",
        face("400", REGULAR),
        face("600 700", SEMIBOLD)
    )
}

/// A content security policy under which only this style sheet and this script work, and nothing can be fetched.
pub(super) fn policy(style: &str, script: &str) -> String {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; font-src data:; img-src data:; \
         base-uri 'none'; form-action 'none'",
        hash(style),
        hash(script)
    )
}
