//! `xcloud traffic`

use serde_json::json;
use xcloud_core::{Error, ErrorKind, Result};
use xcloud_deploy::Traffic;

use super::{Project, versions};
use crate::args::{self, Args};
use crate::printer::Done;

/// Shifts traffic and prints who has how much; without shares, only prints.
pub(super) async fn run(project: &Project, args: &Args, options: &args::Traffic) -> Result<Done> {
    let (function, traffic) = asked(options)?;
    let provider = project.provider(args)?;
    let versions = match &traffic {
        Some(traffic) => provider.traffic(&project.stage, function.as_deref(), traffic).await?,
        None => provider.versions(&project.stage).await?,
    };
    let serving: Vec<_> = versions.into_iter().filter(|version| version.traffic > 0).collect();
    let shares: Vec<_> = serving.iter().map(|v| format!("{} {} %", v.version, v.traffic)).collect();
    let text = versions::text(&serving);
    Ok(Done::new(shares.join(", "), json!({ "versions": serving }), text))
}

fn wrong<T>(message: String) -> Result<T> {
    Err(Error::new(ErrorKind::Config, message))
}

/// `[FN] v4=10 v5=20`, `[FN] --promote [v4]`, `[FN] --abort`.
fn asked(options: &args::Traffic) -> Result<(Option<String>, Option<Traffic>)> {
    let mut words = options.words.iter().peekable();
    let is_version = |word: &str| {
        let number = word.strip_prefix('v').unwrap_or_default();
        !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
    };
    let function = words.next_if(|word| !word.contains('=') && !is_version(word)).cloned();
    if options.abort || options.promote {
        let version = words.next_if(|word| options.promote && is_version(word)).cloned();
        if let Some(word) = words.next() {
            return wrong(format!("`{word}` has no place here: --promote takes a version, --abort none"));
        }
        return Ok((function, Some(if options.abort { Traffic::Abort } else { Traffic::Promote(version) })));
    }
    let mut shares: Vec<(String, u32)> = Vec::new();
    for word in words {
        let share = word.split_once('=').and_then(|(version, percent)| {
            let percent = percent.trim_end_matches('%').parse().ok().filter(|percent| *percent <= 100)?;
            is_version(version).then(|| (version.to_owned(), percent))
        });
        match share {
            Some((version, _)) if shares.iter().any(|(known, _)| *known == version) => {
                return wrong(format!("{version} is given two shares"));
            }
            Some(share) => shares.push(share),
            None => return wrong(format!("`{word}` is not a share like v4=10, from 0 to 100 percent")),
        }
    }
    if shares.is_empty() {
        if let Some(function) = function {
            return wrong(format!(
                "no share for `{function}`: say for example `xcloud traffic {function} v4=10`"
            ));
        }
        return Ok((None, None));
    }
    Ok((function, Some(Traffic::Set(shares))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str], promote: bool, abort: bool) -> Result<(Option<String>, Option<Traffic>)> {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        asked(&args::Traffic { words, promote, abort })
    }

    #[test]
    fn shares_are_read_and_wrong_ones_named() {
        let set = |shares: &[(&str, u32)]| {
            Some(Traffic::Set(shares.iter().map(|(v, p)| ((*v).to_owned(), *p)).collect()))
        };
        assert_eq!(read(&["v4=10"], false, false).unwrap(), (None, set(&[("v4", 10)])));
        let both = read(&["fulfil", "v4=10", "v5=20%"], false, false).unwrap();
        assert_eq!(both, (Some("fulfil".to_owned()), set(&[("v4", 10), ("v5", 20)])));
        assert_eq!(read(&[], false, false).unwrap(), (None, None));
        for bad in [&["v4=101"][..], &["v4=x"], &["4=10"], &["f"], &["v4=1", "v4=2"], &["v4=1", "f"], &["v4"]]
        {
            assert_eq!(read(bad, false, false).unwrap_err().kind(), ErrorKind::Config, "{bad:?}");
        }
    }

    #[test]
    fn promote_and_abort_take_a_function() {
        assert_eq!(read(&[], true, false).unwrap(), (None, Some(Traffic::Promote(None))));
        let one = read(&["fulfil", "v4"], true, false).unwrap();
        assert_eq!(one, (Some("fulfil".to_owned()), Some(Traffic::Promote(Some("v4".to_owned())))));
        assert_eq!(read(&["http"], false, true).unwrap(), (Some("http".to_owned()), Some(Traffic::Abort)));
        assert!(read(&["v4=10"], true, false).is_err());
    }
}
