//! `xcloud versions`

use serde_json::json;
use xcloud_core::Result;
use xcloud_deploy::Version;

use super::Project;
use super::several::Each;
use crate::args::Args;
use crate::printer::Done;

/// The versions that are kept, the oldest first.
pub(super) async fn run(project: &Project, args: &Args) -> Result<Done> {
    let each = Each::open(project, args)?;
    let several = each.are_several();
    let each = each.then(async |_, provider| provider.versions(&project.stage).await);
    each.await.finish(|of| {
        let text: String = of.iter().map(|(name, versions)| whose(name, &text(versions), several)).collect();
        let versions: Vec<_> = of.into_iter().flat_map(|(_, versions)| versions).collect();
        Done::new(format!("{} versions", versions.len()), json!({ "versions": versions }), text)
    })
}

/// Lines that say whose they are, where there are several.
fn whose(name: &str, lines: &str, several: bool) -> String {
    if !several {
        return lines.to_owned();
    }
    lines.lines().map(|line| format!("{name}\t{line}\n")).collect()
}

/// A line for each version.
pub(super) fn text(versions: &[Version]) -> String {
    let line = |version: &Version| {
        let digest = version.digest.get(..12).unwrap_or(&version.digest);
        let current = if version.current { "\tcurrent" } else { "" };
        let different = version.weights.values().any(|percent| *percent != version.traffic)
            || (version.traffic > 0 && version.weights.len() < version.functions.len());
        let shares: Vec<_> =
            version.weights.iter().map(|(name, percent)| format!("{name} {percent} %")).collect();
        let traffic = if different { shares.join(", ") } else { format!("{} %", version.traffic) };
        format!("{}\t{digest}\t{}\t{traffic}{current}\n", version.version, version.created)
    };
    versions.iter().map(line).collect()
}
