//! Kubernetes: the manifest of an indexed Job, as JSON, which `kubectl apply -f -` takes like YAML.

use super::{Job, started};
use crate::cli::{Ended, Failure, json};
use clap::Args;
use serde_json::json;

/// Seconds that a pod is given to save and leave.
const GRACE: u32 = 120;

#[derive(Debug, Args)]
pub(super) struct Kubernetes {
    /// Kubernetes: image with `farspan` in it
    #[arg(long, value_name = "IMAGE", help_heading = "Kubernetes")]
    image: Option<String>,
    /// Kubernetes: claim of the volume that run folders lie on, which many nodes may write
    #[arg(long, value_name = "NAME", help_heading = "Kubernetes")]
    claim: Option<String>,
    /// Kubernetes: where that volume is mounted; the run folder lies in it under its own name [default: /runs]
    #[arg(long, value_name = "PATH", help_heading = "Kubernetes")]
    mount: Option<String>,
    /// Kubernetes: GPUs of a worker
    #[arg(long, value_name = "N", help_heading = "Kubernetes")]
    pod_gpus: Option<u32>,
}

impl Kubernetes {
    /// A flag that is set.
    pub(super) fn set(&self) -> Option<&'static str> {
        let flags = [
            ("--image", self.image.is_some()),
            ("--claim", self.claim.is_some()),
            ("--mount", self.mount.is_some()),
            ("--pod-gpus", self.pod_gpus.is_some()),
        ];
        flags.into_iter().find(|flag| flag.1).map(|flag| flag.0)
    }

    pub(super) fn print(&self, job: &Job<'_>, dry: bool) -> Ended {
        let (Some(image), Some(claim)) = (&self.image, &self.claim) else {
            return Err(Failure::usage(
                "--engine kubernetes needs --image and --claim",
            ));
        };
        let mount = self.mount.as_deref().unwrap_or("/runs");
        let folder = job.folder.file_name().unwrap_or_default().to_string_lossy();
        let there = format!("{}/{folder}", mount.trim_end_matches('/'));
        let mut command = vec!["farspan".to_string(), "work".into(), there.clone()];
        command.extend(["--patience".into(), "10m".into()]);
        command.extend(job.flags.iter().cloned());
        let limits = self
            .pod_gpus
            .map_or(json!({}), |n| json!({ "nvidia.com/gpu": n }));
        let manifest = json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": { "name": name(job.name) },
            "spec": {
                "completionMode": "Indexed",
                "completions": job.workers,
                "parallelism": job.at_once.unwrap_or(job.workers).min(job.workers),
                "backoffLimitPerIndex": 20,
                "podFailurePolicy": { "rules": [
                    // The node is taken back: no fault of the worker, which goes on elsewhere.
                    { "action": "Ignore", "onPodConditions": [{ "type": "DisruptionTarget", "status": "True" }] },
                    { "action": "Ignore", "onExitCodes": { "operator": "In", "values": [75, 143] } },
                    // Cells failed, or nothing can be done: trying again cannot help.
                    { "action": "FailIndex", "onExitCodes": { "operator": "In", "values": [1, 2, 65, 70] } },
                ] },
                "template": { "spec": {
                    "restartPolicy": "Never",
                    "terminationGracePeriodSeconds": GRACE,
                    "containers": [{
                        "name": "farspan",
                        "image": image,
                        "command": command,
                        "resources": { "limits": limits },
                        "volumeMounts": [{ "name": "runs", "mountPath": mount }],
                    }],
                    "volumes": [{ "name": "runs", "persistentVolumeClaim": { "claimName": claim } }],
                } },
            },
        });
        json(&manifest)?;
        if !dry {
            let here = job.folder.display();
            started(
                job,
                &format!("{here} is planned; its place in the volume is {there}"),
            );
        }
        Ok(0)
    }
}

/// A name as Kubernetes takes it: lower-case letters, digits and hyphens, at most 63.
fn name(run: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    let name: String = "farspan-"
        .chars()
        .chain(run.chars().map(plain))
        .take(63)
        .collect();
    name.trim_end_matches('-').to_string()
}
