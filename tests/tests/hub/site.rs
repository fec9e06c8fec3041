//! A server of models, as far as the program asks one.

use super::COMMIT;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};

/// What a server is asked for, and does.
#[derive(Default)]
struct Site {
    port: u16,
    files: BTreeMap<String, Vec<u8>>,
    /// Bytes of the next file of weights after which the connection ends.
    cut: Option<usize>,
    /// Another first byte of files of weights than was listed.
    wrong: bool,
    /// In place of every answer: a status and the server's code for it.
    refuses: Option<(u16, &'static str)>,
    /// In place of the listing.
    listing: Option<Value>,
    /// Lines and headers of requests.
    asked: Vec<String>,
}

type Shared = Arc<Mutex<Site>>;

fn hash(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|b| format!("{b:02x}")).collect()
}

impl Site {
    fn listing(&self) -> Value {
        let file = |(name, bytes): (&String, &Vec<u8>)| {
            let mut file = json!({"rfilename": name, "size": bytes.len(), "blobId": format!("git{}", name.len())});
            if name.ends_with(".safetensors") {
                file["lfs"] =
                    json!({"sha256": hash(bytes), "size": bytes.len(), "pointerSize": 134});
            }
            file
        };
        json!({"id": "org/small", "sha": COMMIT, "siblings": self.files.iter().map(file).collect::<Vec<_>>()})
    }

    /// Status, further headers, body, and bytes of it that are sent.
    fn answer(&mut self, path: &str, range: Option<usize>) -> (u16, String, Vec<u8>, usize) {
        let whole =
            |status, header: String, body: Vec<u8>| (status, header, body.clone(), body.len());
        if let Some((status, code)) = self.refuses {
            let header = format!("X-Error-Code: {code}\r\nX-Error-Message: so says the test\r\n");
            return whole(status, header, Vec::new());
        }
        if path.starts_with("/api/models/org/small/revision/") {
            let listing = self.listing.clone().unwrap_or_else(|| self.listing());
            return whole(200, String::new(), listing.to_string().into_bytes());
        }
        let name = path.rsplit('/').next().unwrap_or_default();
        let Some(mut bytes) = self.files.get(name).cloned() else {
            return whole(404, "X-Error-Code: EntryNotFound\r\n".into(), Vec::new());
        };
        let large = name.ends_with(".safetensors");
        // Weights lie on another server: the same under another name.
        if large && path == format!("/org/small/resolve/{COMMIT}/{name}") {
            let to = format!("Location: http://localhost:{}/store/{name}\r\n", self.port);
            return whole(302, to, Vec::new());
        }
        if large && self.wrong {
            bytes[0] ^= 1;
        }
        let body = bytes[range.unwrap_or(0)..].to_vec();
        let sent = if large { self.cut.take() } else { None };
        let status = if range.is_some() { 206 } else { 200 };
        (
            status,
            String::new(),
            body.clone(),
            sent.unwrap_or(body.len()),
        )
    }
}

fn serve(stream: TcpStream, site: &Shared) -> std::io::Result<()> {
    let lines = BufReader::new(stream.try_clone()?).lines();
    let request: Vec<String> = lines
        .map_while(|line| line.ok().filter(|line| !line.is_empty()))
        .collect();
    let path = request[0].split(' ').nth(1).unwrap_or_default();
    let start = |line: &String| {
        let range = line.to_lowercase();
        range
            .strip_prefix("range: bytes=")?
            .strip_suffix('-')?
            .parse()
            .ok()
    };
    let range = request.iter().find_map(start);
    let mut site = site.lock().unwrap();
    let (status, headers, body, sent) = site.answer(path, range);
    site.asked.push(request.join("\n"));
    drop(site);
    let mut stream = stream;
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} x\r\nContent-Length: {length}\r\n{headers}Connection: close\r\n\r\n"
    )?;
    stream.write_all(&body[..sent])?;
    stream.shutdown(Shutdown::Write)
}
