//! References in values: what hostile ones cost, and what their refusals tell.

use std::time::{Duration, Instant};

use coffer_api::{
    Code, reference,
    secrets::{SecretChange, SecretsPatch, SetOptions},
};
use coffer_core::{Caller, KvWrite};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use serde_json::value::RawValue;

use crate::harness::{caller, dev, name, scope, value};

async fn set(root: &Caller, place: &str, secret: &str, text: &str) {
    root.secret_set(&scope(place), &name(secret), &value(text), SetOptions::default()).await.unwrap();
}

async fn resolved(root: &Caller, secret: &str) -> Result<String, (Code, String)> {
    let found = root.secret_get_resolved(&scope("acme"), &name(secret), None).await;
    found.map(|found| found.value.expose().clone()).map_err(|error| (error.code(), error.public().to_owned()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn defaults_in_defaults_are_refused_before_they_cost_the_stack() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let nested = |levels: usize| format!("{}end{}", "${A:-".repeat(levels), "}".repeat(levels));
    set(&root, "acme", "FEW", &nested(9)).await;
    assert_eq!(resolved(&root, "FEW").await.unwrap(), "end");
    for levels in [10, 1000, 170_000] {
        set(&root, "acme", "V", &nested(levels)).await;
        let (code, told) = resolved(&root, "V").await.unwrap_err();
        assert_eq!(code, Code::Unresolved);
        assert!(told.contains("more than 8 defaults stand in one another (acme/V)"), "{told}");
    }
    // As deep as both go together.
    for n in 0..8 {
        set(&root, "acme", &format!("N{n}"), &nested(8).replace("end", &format!("${{N{}}}", n + 1))).await;
    }
    set(&root, "acme", "N8", "last").await;
    assert_eq!(resolved(&root, "N0").await.unwrap(), "last");
    drop(root);
    core.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_that_comes_to_nothing_is_not_taken_apart_for_ever() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    set(&root, "acme", "E", "").await;
    let many: String = (0..2500).map(|n| format!("${{e{n}:B}}")).collect();
    set(&root, "acme", "V", &many).await;
    set(&root, "acme", "ONE", "1").await;
    for (text, says) in [
        ("${E}".repeat(200_000), "more than 1,000,000 references and pieces"),
        // Long, and little of it is put out.
        (format!("${{ONE:-{}}}", "$".repeat(800_000)), "more than 32 MiB of text with references"),
    ] {
        set(&root, "acme", "B", &text).await;
        let begun = Instant::now();
        let (code, told) = resolved(&root, "V").await.unwrap_err();
        assert_eq!(code, Code::Unresolved);
        assert!(told.contains(says), "{told}");
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    }
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn refusal_names_the_target_and_never_the_default() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let mount = root.resolve("secret/data/x").unwrap();
    let raw = RawValue::from_string("{\"a\":1}".to_owned()).unwrap();
    root.kv_write(&mount, "acme/X", KvWrite { data: &raw, cas: None, shred: None }, &()).await.unwrap();
    set(&root, "acme", "V", "${coffer://acme/X:-canary}").await;
    let (code, told) = resolved(&root, "V").await.unwrap_err();
    assert_eq!(code, Code::Unresolved);
    assert!(
        told.contains("coffer://acme/X in it is a KV entry of another shape") && !told.contains("canary"),
        "{told}"
    );
    drop(root);
    core.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn view_of_too_many_bytes_is_refused_raw_and_resolved() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    for (place, several) in [("acme", 25), ("acme:prod", 24)] {
        for n in 0..several {
            let secret = format!("{}_{n}", place.replace(':', "_").to_uppercase());
            set(&root, place, &secret, &"x".repeat(1 << 20)[..1_040_000]).await;
        }
    }
    let prod = scope("acme:prod");
    assert_eq!(root.secret_effective(&scope("acme"), None).await.unwrap().secrets.len(), 25);
    assert_eq!(root.secret_effective_resolved(&scope("acme"), None).await.unwrap().secrets.len(), 25);
    assert_eq!(root.secret_effective(&prod, None).await.unwrap_err().code(), Code::TooLarge);
    assert_eq!(root.secret_effective_resolved(&prod, None).await.unwrap_err().code(), Code::TooLarge);
    let some = [name("ACME_0"), name("ACME_PROD_0")].into();
    assert_eq!(root.secret_effective(&prod, Some(&some)).await.unwrap().secrets.len(), 2);
    drop(root);
    core.shutdown().await;
}

/// Text out of pieces that are references, nearly references, or look like their ends.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "${A}",
        "${B:-x}",
        "${NONE:-",
        "${NONE:-y}",
        "${prod:A}",
        "$${",
        "$$",
        "${",
        "}",
        ":-",
        "$",
        "a",
        "ä",
        "coffer://acme/A",
        "coffer://acme/",
        "${coffer://acme/A?version=1}",
        "?version=1",
        "/",
        " ",
        "${SELF}",
        "${NONE}",
    ]);
    prop::collection::vec(pieces, 0..24).prop_map(|pieces| pieces.concat())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_text_is_resolved_or_refused_and_text_without_references_is_itself() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let rows = [("A", "one"), ("B", "")];
    let secrets = rows.map(|(secret, text)| SecretChange {
        name: name(secret),
        value: Some(value(text)),
        delete: false,
        options: SetOptions::default(),
    });
    let patch = SecretsPatch { secrets: secrets.into(), atomic: true, ..SecretsPatch::default() };
    root.secret_patch_all(&scope("acme"), &patch).await.unwrap();
    let mut texts = Vec::new();
    let mut runner = TestRunner::deterministic();
    for _ in 0..500 {
        texts.push(hostile().new_tree(&mut runner).unwrap().current());
    }
    let mut seen = [0; 2];
    for text in texts {
        set(&root, "acme", "SELF", &text).await;
        match resolved(&root, "SELF").await {
            Ok(came) => {
                seen[0] += 1;
                if !reference::is_in(&text) {
                    assert_eq!(came, text.replace("$${", "${"), "{text:?}");
                }
                // What came is what stands for it, put in by hand.
                let by_hand: String = reference::parts(&text)
                    .map(|part| match part {
                        reference::Part::Text(text) => text.to_owned(),
                        reference::Part::Reference(reference) if reference.default.is_none() => "one".to_owned(),
                        reference::Part::Reference(_) => "\0".to_owned(),
                    })
                    .collect();
                if !by_hand.contains('\0') {
                    assert_eq!(came, by_hand, "{text:?}");
                }
            }
            Err((code, _)) => {
                seen[1] += 1;
                assert_eq!(code, Code::Unresolved, "{text:?}");
                assert!(reference::is_in(&text), "{text:?}");
            }
        }
    }
    assert!(seen.iter().all(|count| *count > 50), "{seen:?}");
    drop(root);
    core.shutdown().await;
}
