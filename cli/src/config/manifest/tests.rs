use super::*;

fn read(text: &str) -> Result<Manifest> {
    Manifest::read(&Source::of(text))
}

#[test]
fn a_whole_file_is_read() {
    let manifest = read(
        "[project]\nname = \"shop\"\nedition = \"1\"\n[build]\nfeatures = [\"a\"]\n[functions.http]\nmemory = \"1GB\"\n\
         timeout = \"2m\"\npublic = true\nenv = { LOG = \"info\" }\n[providers.aws]\nregion = \"eu-west-1\"\n\
         [stages.prod]\nprotect = true\nfunctions.http.min_instances = 1\n[budget]\nbinary = \"4MB\"\ninit = \"20ms\"\n",
    )
    .unwrap();
    let settings = &manifest.functions["http"].1.settings;
    assert_eq!((settings.memory_mb, settings.timeout_seconds), (Some(1024), Some(120)));
    let prod = &manifest.stages["prod"].1;
    assert!(prod.protect && prod.functions["http"].1.settings.min_instances == Some(1));
}

#[test]
fn a_stage_has_the_providers_that_it_names() {
    let text = "[providers.aws]\nregion = \"eu-west-1\"\nendpoints = { sqs = \"a\", iam = \"b\" }\n\
                [stages.prod.providers.aws]\nprofile = \"prod\"\nendpoints = { sqs = \"c\" }\n\
                [stages.prod.providers.local]\nidle_timeout = \"5s\"\n";
    let dev = read(text).unwrap().at("dev");
    assert_eq!((dev.aws.profile, dev.aws.endpoints["sqs"].as_str()), (None, "a"));
    let prod = read(text).unwrap().at("prod");
    assert_eq!((prod.aws.region.as_deref(), prod.aws.profile.as_deref()), (Some("eu-west-1"), Some("prod")));
    assert_eq!((prod.aws.endpoints["sqs"].as_str(), prod.aws.endpoints["iam"].as_str()), ("c", "b"));
    assert_eq!(prod.local.idle_timeout_seconds, Some(5));
}

/// A secret that was written where a reference belongs is not repeated.
#[test]
fn what_is_no_reference_is_refused_without_repeating_it() {
    for value in ["canary-1", "env:", "ENV:canary", "arn:aws:secretsmanager:canary"] {
        let error = read(&format!("[functions.http]\nsecrets = {{ KEY = \"{value}\" }}\n")).unwrap_err();
        let message = error.to_string();
        assert!(message.starts_with("xcloud.toml:2: `functions.http.secrets.KEY`"), "{message}");
        assert!(message.contains("not supported yet") && !message.contains("canary"), "{message}");
    }
}

#[test]
fn sizes_of_files_are_decimal() {
    for (text, wanted) in [
        ("4MB", Some(4_000_000)),
        ("2.5MB", Some(2_500_000)),
        ("900KB", Some(900_000)),
        ("0.25KB", Some(250)),
        ("0MB", None),
        ("1.2345MB", None),
        (".5MB", None),
        ("-1MB", None),
        ("4", None),
        ("99999999999999999999MB", None),
        ("18446744073709551MB", None),
    ] {
        assert_eq!(bytes(text), wanted, "{text}");
    }
}

#[test]
fn errors_say_file_line_key_and_the_nearest_key() {
    for (text, parts) in [
        ("[project]\nnmae = \"x\"\n", &["xcloud.toml:2:", "`project.nmae`", "did you mean `name`"][..]),
        (
            "[project]\nname = \"x\"\n[functions.http]\ntimout = \"1s\"\n",
            &["xcloud.toml:4:", "`functions.http.timout`", "`timeout`"],
        ),
        (
            "[functions.http]\n\ncors = { max_age = \"5m\" }\n",
            &["xcloud.toml:3:", "`functions.http.cors`", "`origins`"],
        ),
        ("[functions.http]\nmemory = 256\n", &["xcloud.toml:2:", "`functions.http.memory`", "256MB"]),
        (
            "[functions.http]\nconcurrency = 0\n",
            &["xcloud.toml:2:", "`functions.http.concurrency`", "from 1"],
        ),
        (
            "[stages.prod]\nfunctions.http.publik = true\n",
            &["`stages.prod.functions.http.publik`", "`public`"],
        ),
        ("[project\n", &["xcloud.toml:1:"]),
        ("[project]\nname = \"Shop 1\"\n", &["xcloud.toml:2:", "lower-case"]),
        ("[providers.gcp]\nprojekt = \"p\"\n", &["xcloud.toml:2:", "`project`"]),
        ("[functions.http.aws]\nrol = \"r\"\n", &["`functions.http.aws.rol`", "did you mean `role`"]),
        ("[functions.http.aws]\nrole = \"shop\"\n", &["xcloud.toml:2:", "a role's ARN like"]),
        ("[queues.placed]\nexist = \"q\"\n", &["`queues.placed.exist`", "`existing`"]),
        ("zzz = 1\n", &["unknown key `zzz` (known: project"]),
    ] {
        let error = read(text).unwrap_err();
        for part in parts {
            assert!(error.message().contains(part), "{text:?}: {error}");
        }
    }
}
