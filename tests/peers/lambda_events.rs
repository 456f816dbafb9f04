//! The events that crate `aws_lambda_events` keeps as test data: each is read, or refused with words.

use std::path::Path;

use bytes::Bytes;
use xcloud_aws::decode::{Payload, Scratch, event};
use xcloud_tests::tools;

pub(crate) fn every_fixture_is_read_or_refused() -> Result<(), String> {
    let source = match tools::crate_source("aws_lambda_events", "1.2.1") {
        Ok(source) => source,
        Err(why) => return tools::skip(&why),
    };
    let folder = source.join("src/fixtures");
    let entries = std::fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let (mut http, mut queue, mut records, mut raw) = (0, 0, 0, 0);
    let mut refused = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| e.to_string())?.path();
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let payload = std::fs::read(&path).map_err(|e| e.to_string())?;
        match event(&Bytes::from(payload), &mut Scratch::default()) {
            Ok(Payload::Http(_, request)) => {
                request.map_err(|e| format!("{}: {e}", path.display()))?;
                http += 1;
            }
            Ok(Payload::Queue(_, batch)) => {
                check(&path, !batch.messages.is_empty())?;
                queue += 1;
            }
            Ok(Payload::Records(read)) => {
                check(&path, !read.records.is_empty())?;
                records += 1;
            }
            Ok(Payload::Raw(_)) => raw += 1,
            Err(error) => refused.push(format!("{}: {error}", path.display())),
        }
    }
    if http < 10 || queue < 2 || records < 15 || http + queue + records + raw < 170 {
        let refused = refused.join("\n");
        return Err(format!(
            "{http} requests, {queue} batches, {records} records, {raw} others; refused: {refused}"
        ));
    }
    Ok(())
}

fn check(path: &Path, holds: bool) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("{} was read as nothing", path.display())) }
}
