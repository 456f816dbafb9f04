//! What happens only with a yes; without a terminal nobody can be asked, and it ends with 2.

use std::process::Output;

use serde_json::Value;

use crate::tenant::{Connection, Tenant};

fn told(output: &Output) -> (Option<i32>, Value) {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), serde_json::from_str(&stdout).expect("one object"))
}

#[test]
fn a_protected_stage_is_deployed_and_destroyed_only_with_a_yes() {
    let tenant = Tenant::new("protected");
    let settings = "[stages.dev]\nprotect = true\n";
    let (code, refused) = told(&tenant.try_deploy(settings));
    assert_eq!(code, Some(2), "{refused}");
    let message = refused["message"].as_str().expect("text");
    assert!(message.contains("nothing was deployed: stage `dev` is protected"), "{message}");
    assert_eq!(tenant.xcloud(&["status"]).status.code(), Some(1), "nothing is there");
    assert_eq!(told(&tenant.try_deploy_with(settings, &["--yes"])).0, Some(0));
    // Nothing changes, so nothing is asked.
    let (code, again) = told(&tenant.try_deploy(settings));
    assert_eq!(
        (code, &again["data"]["deployments"][0]["functions"][0]["action"]),
        (Some(0), &"unchanged".into())
    );
    let (code, refused) = told(&tenant.xcloud(&["destroy", "-o", "json"]));
    assert_eq!(code, Some(2), "{refused}");
    assert!(refused["message"].as_str().expect("text").contains("stage `dev` is protected"), "{refused}");
}

#[test]
fn a_deployment_takes_data_away_only_with_a_yes() {
    let tenant = Tenant::new("data");
    let settings = "[functions.run-job]\nmax_attempts = 1\n";
    let url = tenant.deploy(settings);
    let job = serde_json::json!({ "id": "bad", "action": "exit" }).to_string();
    assert_eq!(Connection::new(&url).send("POST", "/jobs", &job).0, 200);
    let dead = |wanted: u64| {
        let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while tenant.run(&["queue", "ls"])["queues"][0]["dead"] != wanted {
            assert!(std::time::Instant::now() < end, "{}", tenant.run(&["queue", "ls"]));
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    };
    dead(1);
    tenant.drop_jobs();
    let (code, refused) = told(&tenant.try_deploy_with("", &["--delete-data"]));
    assert_eq!(code, Some(2), "{refused}");
    assert!(
        refused["message"].as_str().expect("text").contains("nothing was deployed: there is no terminal"),
        "{refused}"
    );
    dead(1);
    // Without the wish the queue stays, and nobody is asked.
    let (code, kept) = told(&tenant.try_deploy(""));
    assert_eq!(code, Some(0), "{kept}");
    dead(1);
    let (code, gone) = told(&tenant.try_deploy_with("", &["--delete-data", "--yes"]));
    assert_eq!(code, Some(0), "{gone}");
    assert_eq!(tenant.run(&["queue", "ls"])["queues"], serde_json::json!([]));
}
