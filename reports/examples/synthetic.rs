//! Writes a synthetic run and its report, to look at: `cargo run --release -p farspan-reports --example synthetic -- 84 3 out`
//! has 84 schemes and 3 seeds; 0 schemes stand for the usual mixture of stages. Its numbers measure nothing.

use farspan_reports::{fixture, page};
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [schemes, seeds, out] = arguments.as_slice() else {
        return Err("expected: number of schemes, number of seeds, folder".into());
    };
    let (schemes, out) = (schemes.parse()?, PathBuf::from(out));
    let options = fixture::Options {
        seeds: (0..seeds.parse()?).collect(),
        schemes: (schemes > 0).then_some(schemes),
        ..fixture::Options::default()
    };
    fixture::write(&out.join("run"), &options)?;
    page::write_report(&[&out.join("run")], &out.join("report"))?;
    Ok(())
}
