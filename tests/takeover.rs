//! Takeovers on real servers behind a real API server, by the real operator.

mod support;

use anyhow::Result;
use lab::load::ClientKind;
use serde_json::json;
use support::{World, message, reason};

#[tokio::test(flavor = "multi_thread")]
async fn there_and_back_under_load() -> Result<()> {
    let world = World::start(3).await?;
    let mut running = world.clients(ClientKind::Drop, 4).await?;
    for (name, old, new) in [("there", 0, 1), ("back", 1, 0), ("away", 0, 2)] {
        let begun = running.begin_takeover(&world.name(old), &world.name(new))?;
        world.apply(name, new, json!({})).await?;
        let status = world.ended(name).await?;
        assert_eq!(reason(&status), "Promoted", "{}", message(&status));
        assert_eq!(status.old_primary, Some(world.name(old)));
        assert!(status.write_outage().is_some_and(|outage| outage.as_millis() < 2000), "{status:?}");
        assert!(status.steps.iter().all(|step| step.state == "Done"), "{:?}", status.steps);
        running.wait_for_acknowledgements(100).await?;
        running.end_takeover(begun);
        println!("{name}: {}", message(&status));
        for step in &status.steps {
            println!(
                "  {:<14} {:?} {}",
                step.name,
                step.duration(),
                step.message.clone().unwrap_or_default()
            );
        }
        world.wait_until_ready().await?;
    }
    running.finish().await?.verify()
}
