//! Queue batches: what is done, what comes again.

use libtest_mimic::Failed;
use xcloud_serve::host::Delivery;
use xcloud_tests::rooms::Room;

use crate::kit::{self, behaviours, deliver, ensure, items, message, same};
use crate::triggers;

behaviours![
    a_message_is_handled,
    a_batch_is_handled_in_order,
    partial_failure,
    only_the_failed_message_comes_again,
    a_failing_batch_comes_again,
    a_message_of_another_type_fails_alone,
    a_message_that_is_not_utf8_fails_alone,
    a_panic_brings_the_batch_back_and_the_instance_lives_on,
    past_the_deadline_the_batch_comes_again,
    the_attempt_is_known,
    a_body_with_every_kind_of_character_arrives,
    an_event_of_another_kind_is_refused_in_words_and_messages_flow,
];

async fn a_message_is_handled(room: Room) -> Result<(), Failed> {
    let host = kit::queue(room).await?;
    same!(deliver(&*host, items(&[("m-1", "ok")])).await?, Delivery::Done, "delivery");
    kit::wrote(&*host, "did m-1").await
}

async fn a_batch_is_handled_in_order(room: Room) -> Result<(), Failed> {
    let host = kit::queue(room).await?;
    same!(
        deliver(&*host, items(&[("a", "ok"), ("b", "ok"), ("c", "ok")])).await?,
        Delivery::Done,
        "delivery"
    );
    kit::wrote(&*host, "did c").await?;
    let output = host.output();
    let at = |id: &str| output.find(&format!("did {id}"));
    ensure!(at("a") < at("b") && at("b") < at("c"), "order: {output}");
    Ok(())
}

/// Where the platform can, only the failed message comes again; elsewhere the whole batch does.
fn expect_failed(room: Room, delivery: &Delivery, id: &str) -> Result<(), Failed> {
    match delivery {
        Delivery::Retry(ids) if room.partial_failure => same!(ids, &[id.to_owned()], "failed ids"),
        Delivery::RetryAll(_) if !room.partial_failure => {}
        other => return Err(format!("{other:?}").into()),
    }
    Ok(())
}

async fn partial_failure(room: Room) -> Result<(), Failed> {
    let host = kit::queue(room).await?;
    let delivery = deliver(&*host, items(&[("a", "ok"), ("b", "fail"), ("c", "ok")])).await?;
    expect_failed(room, &delivery, "b")
}

/// Where each message is a call of its own that is so of itself.
async fn only_the_failed_message_comes_again(room: Room) -> Result<(), Failed> {
    let host = kit::queue(room).await?;
    if host.one_by_one() {
        same!(deliver(&*host, items(&[("a", "ok")])).await?, Delivery::Done, "a message alone");
        ensure!(deliver(&*host, items(&[("b", "fail")])).await? != Delivery::Done, "another one alone");
        return Ok(());
    }
    let delivery = deliver(&*host, items(&[("a", "ok"), ("b", "fail"), ("c", "ok")])).await?;
    same!(delivery, Delivery::Retry(vec!["b".to_owned()]), "delivery");
    Ok(())
}

async fn a_failing_batch_comes_again(room: Room) -> Result<(), Failed> {
    let host = kit::queue(room).await?;
    let delivery = deliver(&*host, items(&[("a", "whole")])).await?;
    ensure!(delivery != Delivery::Done, "{delivery:?}");
    same!(deliver(&*host, items(&[("b", "ok")])).await?, Delivery::Done, "the next batch");
    Ok(())
}

async fn a_message_of_another_type_fails_alone(room: Room) -> Result<(), Failed> {
    let host = kit::queue(room).await?;
    let mut batch = items(&[("a", "ok"), ("c", "ok")]);
    batch.insert(1, message("b", r#"{"id":7}"#));
    let delivery = deliver(&*host, batch).await?;
    expect_failed(room, &delivery, "b")?;
    kit::wrote(&*host, "not what this queue's handler takes").await
}

async fn a_message_that_is_not_utf8_fails_alone(room: Room) -> Result<(), Failed> {
    let host = kit::queue(room).await?;
    let delivery = deliver(&*host, vec![message("b", vec![0xff, 0xfe, 0x00])]).await?;
    ensure!(delivery != Delivery::Done, "{delivery:?}");
    same!(deliver(&*host, items(&[("n", "ok")])).await?, Delivery::Done, "the next batch");
    Ok(())
}

async fn a_panic_brings_the_batch_back_and_the_instance_lives_on(room: Room) -> Result<(), Failed> {
    let host = kit::queue(room).await?;
    let delivery = deliver(&*host, items(&[("a", "panic")])).await?;
    ensure!(delivery != Delivery::Done, "{delivery:?}");
    same!(deliver(&*host, items(&[("b", "ok")])).await?, Delivery::Done, "the next batch");
    Ok(())
}

async fn past_the_deadline_the_batch_comes_again(room: Room) -> Result<(), Failed> {
    let mut launch = kit::launch(Some("work"));
    launch.timeout = std::time::Duration::from_secs(1);
    let host = kit::start(room, launch).await?;
    let delivery = deliver(&*host, items(&[("a", "slow")])).await?;
    ensure!(delivery != Delivery::Done, "{delivery:?}");
    same!(deliver(&*host, items(&[("b", "ok")])).await?, Delivery::Done, "the next batch");
    Ok(())
}

async fn the_attempt_is_known(room: Room) -> Result<(), Failed> {
    let host = kit::queue(room).await?;
    let mut batch = items(&[("a", "attempt")]);
    batch[0].attempt = Some(3);
    same!(deliver(&*host, batch).await?, Delivery::Done, "delivery");
    kit::wrote(&*host, "attempt Some(3) of a").await
}

async fn a_body_with_every_kind_of_character_arrives(room: Room) -> Result<(), Failed> {
    let host = kit::queue(room).await?;
    let id = "quote \" backslash \\ newline \n nul \u{0} café 💡 dGVzdA==";
    let body = serde_json::json!({ "id": id, "action": "ok" }).to_string();
    same!(deliver(&*host, vec![message("x", body)]).await?, Delivery::Done, "delivery");
    let logged = serde_json::json!(format!("did {id}")).to_string();
    kit::wrote(&*host, &logged).await
}

/// What this instance takes nothing of. A topic's message is not among them: most platforms bring it as a queue's.
async fn an_event_of_another_kind_is_refused_in_words_and_messages_flow(room: Room) -> Result<(), Failed> {
    let host = kit::queue(room).await?;
    for (function, record) in triggers::one_of_each().into_iter().filter(|(name, _)| *name != "hear") {
        let delivery = host.record(function, record).await.map_err(kit::failed)?;
        let Delivery::RetryAll(why) = &delivery else {
            return Err(format!("an event for `{function}` was taken: {delivery:?}").into());
        };
        // On Azure the path alone says which function an event is for.
        let words = ["this instance serves work", "this instance serves no", "no event function at"];
        ensure!(words.iter().any(|words| why.contains(words)), "an event for `{function}`: {why}");
    }
    same!(deliver(&*host, items(&[("m-1", "ok")])).await?, Delivery::Done, "a message");
    Ok(())
}
