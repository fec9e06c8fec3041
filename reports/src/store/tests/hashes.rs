//! Files that are not what was written, and files from before they had hashes.

use super::*;

/// A digit in any file that a number is read from.
#[test]
fn a_changed_digit_is_refused_by_every_reader() -> Outcome {
    let tmp = tempfile::tempdir()?;
    let dir = fixture::write(&tmp.path().join("run"), &small())?;
    let id = dir.plan()?.cells[0].id.clone();
    dir.write_samples(&id, [serde_json::json!({"nll": 1.25})])?;
    let cell = dir.cell_dir(&id);
    let digit = |path: &Path, from: &str, to: &str| -> Outcome {
        let text = std::fs::read_to_string(path)?;
        assert!(text.contains(from), "{}", path.display());
        Ok(std::fs::write(path, text.replacen(from, to, 1))?)
    };
    let changed = |read: Result<(), StoreError>, file: &str| {
        let error = read.expect_err(file).to_string();
        assert!(error.contains(file) && error.contains("hash"), "{error}");
    };
    digit(&cell.join("result.json"), "\"seed\": 0", "\"seed\": 1")?;
    changed(dir.result(&id).map(drop), "result.json");
    digit(&cell.join("status.json"), "800", "801")?;
    changed(dir.status(&id).map(drop), "status.json");
    digit(&cell.join("cost.json"), "\"jobs\": 2", "\"jobs\": 3")?;
    changed(dir.cost(&id).map(drop), "cost.json");
    digit(&dir.path().join("plan.json"), "0.95", "0.96")?;
    changed(dir.plan().map(drop), "plan.json");
    // A whole file without its hash is one that somebody wrote anew.
    let text = std::fs::read_to_string(cell.join("cost.json"))?;
    let (unsealed, _) = text.rsplit_once(",\n  \"blake3\"").ok_or("no hash")?;
    std::fs::write(cell.join("cost.json"), format!("{unsealed}\n}}\n"))?;
    changed(dir.cost(&id).map(drop), "cost.json");
    Ok(())
}

#[test]
fn samples_of_another_cell_and_changed_samples_are_refused() -> Outcome {
    let tmp = tempfile::tempdir()?;
    let dir = fixture::write(&tmp.path().join("run"), &small())?;
    let ids: Vec<String> = dir.plan()?.cells.iter().map(|c| c.id.clone()).collect();
    let path = |i: usize| dir.cell_dir(&ids[i]).join("samples.jsonl.zst");
    dir.write_samples(
        &ids[0],
        [
            serde_json::json!({"nll": 1.25}),
            serde_json::json!({"nll": 2.5}),
        ],
    )?;
    std::fs::copy(path(0), path(1))?;
    let error = dir.samples(&ids[1]).expect_err("another's").to_string();
    assert!(error.contains("those of another"), "{error}");
    let text = String::from_utf8(zstd::decode_all(std::fs::read(path(0))?.as_slice())?)?;
    for changed in [
        text.replacen("1.25", "1.26", 1),
        text[text.find('\n').unwrap_or(0) + 1..].into(),
    ] {
        std::fs::write(path(0), zstd::encode_all(changed.as_bytes(), 3)?)?;
        let error = dir.check_samples(&ids[0]).expect_err("changed").to_string();
        assert!(error.contains("hash is of other bytes"), "{error}");
    }
    Ok(())
}

/// Files as version 1 wrote them can be read; the run says that damage to them cannot be seen.
#[test]
fn runs_from_before_files_had_hashes_can_be_read() -> Outcome {
    let tmp = tempfile::tempdir()?;
    let dir = fixture::write(&tmp.path().join("run"), &small())?;
    let before = dir.load()?;
    let ids: Vec<String> = before.plan.cells.iter().map(|c| c.id.clone()).collect();
    let in_cells = ids.iter().flat_map(|id| {
        ["result.json", "status.json", "cost.json"].map(|name| dir.cell_dir(id).join(name))
    });
    for path in in_cells
        .chain([dir.path().join("plan.json")])
        .filter(|path| path.exists())
    {
        let text = std::fs::read_to_string(&path)?;
        let (unsealed, _) = text.rsplit_once(",\n  \"blake3\"").ok_or("no hash")?;
        let version = match path.ends_with("cost.json") {
            true => unsealed.replace(&format!(",\n  {}", version(SCHEMA_VERSION)), ""),
            false => unsealed.replace(&version(SCHEMA_VERSION), &version(1)),
        };
        std::fs::write(&path, format!("{version}\n}}\n"))?;
    }
    let loaded = dir.load()?;
    assert_eq!(loaded.results().count(), before.results().count());
    assert!(loaded.cells[0].cost == before.cells[0].cost && loaded.cells[0].cost.is_some());
    assert_eq!(loaded.problems.len(), 1, "{:?}", loaded.problems);
    assert!(
        loaded.problems[0].contains("carry no hashes"),
        "{:?}",
        loaded.problems
    );
    Ok(())
}
