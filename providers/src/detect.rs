//! Which platform this process runs on.
//!
//! Order and reasons: the variables that a platform reserves for itself come first; names that leak into
//! containers, CI and developer tools (`AWS_REGION`, `WEBSITE_*`, `PORT`) never decide.

use xcloud_core::{Platform, Result, env};

/// Looks at the environment; the first match wins, with none it is [`Platform::Http`].
///
/// # Errors
/// `XCLOUD_PLATFORM` is set and not a platform.
pub(crate) fn detect(get: impl Fn(&str) -> Option<String>) -> Result<Platform> {
    if let Some(forced) = get(env::PLATFORM) {
        return forced.parse();
    }
    let found =
        DETECTORS.iter().find(|(_, names)| names.iter().any(|name| get(name).is_some_and(|v| !v.is_empty())));
    Ok(found.map_or(Platform::Http, |(platform, _)| *platform))
}

/// Any one of the names marks the platform. Each list is that of the room's `binding.rs`, which a feature may
/// leave out: a platform without its room must still be recognised, to say so.
const DETECTORS: [(Platform, &[&str]); 5] = [
    (Platform::Aws, &["AWS_LAMBDA_RUNTIME_API"]),
    (Platform::Azure, &["FUNCTIONS_CUSTOMHANDLER_PORT"]),
    (Platform::Alibaba, &["FC_FUNCTION_NAME", "FC_INSTANCE_ID"]),
    (Platform::Gcp, &["K_SERVICE"]),
    (Platform::Local, &["XCLOUD_LOCAL_SOCKET"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn on(names: &'static [(&str, &str)]) -> Result<Platform> {
        detect(|name| names.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn the_reserved_variable_of_each_platform_marks_it() {
        assert_eq!(on(&[("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001")]).unwrap(), Platform::Aws);
        assert_eq!(on(&[("FUNCTIONS_CUSTOMHANDLER_PORT", "7071")]).unwrap(), Platform::Azure);
        assert_eq!(on(&[("FC_INSTANCE_ID", "c-1")]).unwrap(), Platform::Alibaba);
        assert_eq!(on(&[("K_SERVICE", "orders"), ("PORT", "8080")]).unwrap(), Platform::Gcp);
    }

    #[test]
    fn what_leaks_into_containers_and_ci_decides_nothing() {
        let leaks = &[
            ("AWS_REGION", "eu-west-1"),
            ("AWS_EXECUTION_ENV", "x"),
            ("PORT", "80"),
            ("WEBSITE_SITE_NAME", "s"),
        ];
        assert_eq!(on(leaks).unwrap(), Platform::Http);
        assert_eq!(on(&[("AWS_LAMBDA_RUNTIME_API", "")]).unwrap(), Platform::Http);
    }

    #[test]
    fn the_deployer_can_force_it_and_a_typo_is_an_error() {
        assert_eq!(on(&[("XCLOUD_PLATFORM", "http"), ("K_SERVICE", "x")]).unwrap(), Platform::Http);
        let error = on(&[("XCLOUD_PLATFORM", "asw")]).unwrap_err();
        assert!(error.message().contains("asw") && error.message().contains("aws"), "{error}");
    }
}
