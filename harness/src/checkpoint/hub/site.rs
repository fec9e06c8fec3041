//! The server of models, as published: `GET /api/models/ID/revision/REVISION?blobs=true` lists the files of a commit,
//! `GET /ID/resolve/COMMIT/FILE` gives one of them.

use super::{Id, home, plain, yes};
use crate::{Error, Result};
use serde::Deserialize;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;
use ureq::config::RedirectAuthHeaders;
use ureq::http::Response;
use ureq::{Agent, Body};

/// Time for a connection, for an answer to begin, and for the next bytes of one to come.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of a listing beyond which it is refused.
const LARGEST_LISTING: u64 = 32 << 20;

/// A server, and what it is to know about us.
pub(super) struct Site {
    endpoint: String,
    token: Option<String>,
    agent: Agent,
}

/// The files of a commit.
#[derive(Deserialize)]
pub(super) struct Listing {
    /// The commit.
    pub(super) sha: String,
    #[serde(rename = "siblings")]
    pub(super) files: Vec<Listed>,
}

/// A file of a commit.
#[derive(Deserialize)]
pub(super) struct Listed {
    #[serde(rename = "rfilename")]
    pub(super) name: String,
    /// Bytes.
    pub(super) size: u64,
    #[serde(rename = "blobId")]
    id: String,
    lfs: Option<Large>,
}

/// A file that is stored by what it contains.
#[derive(Deserialize)]
struct Large {
    sha256: String,
}

impl Listed {
    /// The hash of a large file's content.
    pub(super) fn sha256(&self) -> Option<&str> {
        self.lfs.as_ref().map(|large| large.sha256.as_str())
    }

    /// The name of the file's content in the cache.
    pub(super) fn blob(&self) -> &str {
        self.sha256().unwrap_or(&self.id)
    }
}

impl Site {
    /// `HF_ENDPOINT`, with the token of the user if there is one; `variable` reads an environment variable.
    pub(super) fn new(variable: impl Fn(&str) -> Option<PathBuf>) -> Site {
        let word = |name: &str| {
            let value = variable(name)?.to_string_lossy().trim().to_string();
            (!value.is_empty()).then_some(value)
        };
        let endpoint = word("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // Files lie on other servers, which are not to see the token.
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .user_agent(concat!("farspan/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE));
        Site {
            endpoint: endpoint.trim_end_matches('/').to_string(),
            token: token(&variable, word),
            agent: config.build().new_agent(),
        }
    }

    /// The files of `id`.
    pub(super) fn listing(&self, id: &Id<'_>) -> Result<Listing> {
        let revision = id.revision.replace('/', "%2F");
        let url = format!(
            "{}/api/models/{}/revision/{revision}?blobs=true",
            self.endpoint, id.name
        );
        let mut answer = self.get(id, &url, 0)?;
        let limited = answer.body_mut().with_config().limit(LARGEST_LISTING);
        let text = limited
            .read_to_vec()
            .map_err(|e| Error::io(format!("downloading {url}"), e.into_io()))?;
        let bad = |what: String| Error::Data(format!("{url}: {what}"));
        let listing: Listing = serde_json::from_slice(&text).map_err(|e| {
            bad(format!(
                "expected a list of files with sizes and hashes: {e}"
            ))
        })?;
        // These become names of files.
        let blobs = listing.files.iter().map(Listed::blob);
        if let Some(hash) = blobs.chain([&*listing.sha]).find(|hash| !plain(hash)) {
            return Err(bad(format!("expected a hash, found {hash:?}")));
        }
        Ok(listing)
    }

    /// The bytes of a file of `id` in the commit `sha`, and the place they start at: `from`, or 0 if the server has only
    /// whole files.
    pub(super) fn file(
        &self,
        id: &Id<'_>,
        sha: &str,
        name: &str,
        from: u64,
    ) -> Result<(impl Read + use<>, u64)> {
        let url = format!("{}/{}/resolve/{sha}/{name}", self.endpoint, id.name);
        let answer = self.get(id, &url, from)?;
        let start = if answer.status() == 206 { from } else { 0 };
        Ok((answer.into_body().into_reader(), start))
    }

    fn get(&self, id: &Id<'_>, url: &str, from: u64) -> Result<Response<Body>> {
        let mut request = self.agent.get(url);
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        if from > 0 {
            request = request.header("Range", format!("bytes={from}-"));
        }
        let answer = request.call().map_err(|e| {
            let what = format!(
                "{} is not (whole) in the Hugging Face cache, and downloading {url} failed \
                 (HF_HUB_OFFLINE=1 forbids downloads)",
                id.name
            );
            Error::io(what, e.into_io())
        })?;
        match answer.status().as_u16() {
            200 | 206 => Ok(answer),
            status => Err(self.refused(id, url, status, &answer)),
        }
    }

    /// What a status means that is no success, by the codes and words that the server adds.
    fn refused(&self, id: &Id<'_>, url: &str, status: u16, answer: &Response<Body>) -> Error {
        let header = |name: &str| answer.headers().get(name)?.to_str().ok();
        let (name, revision) = (id.name, id.revision);
        let token = match self.token {
            Some(_) => "the token that was sent does not open it",
            None => "no token was sent: set HF_TOKEN, or `hf auth login`",
        };
        let why = match (header("x-error-code"), status) {
            (Some("GatedRepo"), _) | (None, 403) => {
                let page = format!("{}/{name}", self.endpoint);
                format!("{name} is gated: its conditions are to be accepted at {page}; {token}")
            }
            (Some("RevisionNotFound"), _) => format!("{name} has no revision {revision:?}"),
            (Some("RepoNotFound"), _) | (None, 401 | 404) => {
                format!(
                    "no model {name} with a revision {revision:?} is to be seen; if it is private, {token}"
                )
            }
            (_, 429) => "too many requests: try again later".to_string(),
            _ => "expected status 200".to_string(),
        };
        let words = header("x-error-message").map_or(String::new(), |words| format!(": {words}"));
        Error::Data(format!("{url}: {why} (status {status}{words})"))
    }
}

/// The user's token: `HF_TOKEN`, or what `hf auth login` left in a file.
fn token(
    variable: &impl Fn(&str) -> Option<PathBuf>,
    word: impl Fn(&str) -> Option<String>,
) -> Option<String> {
    if yes(variable("HF_HUB_DISABLE_IMPLICIT_TOKEN")) {
        return None;
    }
    let file = || {
        let path = variable("HF_TOKEN_PATH").or_else(|| Some(home(variable)?.join("token")))?;
        let token = std::fs::read_to_string(path).ok()?.trim().to_string();
        (!token.is_empty()).then_some(token)
    };
    word("HF_TOKEN")
        .or_else(|| word("HUGGING_FACE_HUB_TOKEN"))
        .or_else(file)
}
