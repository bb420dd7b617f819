//! The courier against names whose servers are dead: they cost themselves only.

use postrider::courier::LOOKUPS_AT_ONCE;

use super::*;

/// Answers with this machine, but never for a name that begins with `dead`; counts the lookups that hang.
fn half_dead(hanging: &Arc<AtomicUsize>) -> Lookup {
    let hanging = hanging.clone();
    Arc::new(move |name| {
        let dead = name.starts_with("dead");
        hanging.fetch_add(usize::from(dead), Ordering::SeqCst);
        Box::pin(async move {
            if dead {
                std::future::pending::<()>().await;
            }
            Ok(vec![[127, 0, 0, 1].into()])
        })
    })
}

/// Requests to so many dead names, of which as many are looked up as may be at once.
async fn besieged(courier: &Courier, names: usize, hanging: &AtomicUsize) -> tokio::task::JoinSet<Carried> {
    let mut waiting = tokio::task::JoinSet::new();
    for number in 0..names {
        let courier = courier.clone();
        waiting.spawn(async move { carry(&courier, &format!("http://dead-{number}.example/")).await });
    }
    let begun = Instant::now();
    while hanging.load(Ordering::SeqCst) < names.min(LOOKUPS_AT_ONCE / 2) {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{} of {names} are looked up",
            hanging.load(Ordering::SeqCst)
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    waiting
}

#[tokio::test]
async fn dead_names_keep_no_other_name_from_being_looked_up() {
    let receiver = Receiver::start(|_| Answer::status(200));
    let hanging = Arc::new(AtomicUsize::new(0));
    let courier = Courier::with_lookup(lenient(), half_dead(&hanging)).unwrap();
    let _waiting = besieged(&courier, 300, &hanging).await;
    let healthy = request(&format!("http://healthy.example:{}/", receiver.port()), Span::from_seconds(5));
    assert_eq!(status(&courier.carry(&healthy, NOW).await), 200);
}

#[tokio::test]
async fn a_name_that_was_found_before_is_found_however_many_are_dead() {
    let receiver = Receiver::start(|_| Answer::status(200));
    let hanging = Arc::new(AtomicUsize::new(0));
    // Every request makes a connection, and so looks its name up.
    let settings = Settings { idle_connections: 0, ..lenient() };
    let courier = Courier::with_lookup(settings, half_dead(&hanging)).unwrap();
    let healthy = request(&format!("http://healthy.example:{}/", receiver.port()), Span::from_seconds(5));
    assert_eq!(status(&courier.carry(&healthy, NOW).await), 200);
    let _waiting = besieged(&courier, 1500, &hanging).await;
    assert!(hanging.load(Ordering::SeqCst) < 1500, "lookups at once are bounded");
    for _ in 0..2 {
        assert_eq!(status(&courier.carry(&healthy, NOW).await), 200);
    }
    let stranger = request(&format!("http://stranger.example:{}/", receiver.port()), SHORT);
    assert_eq!(courier.carry(&stranger, NOW).await.reply, Reply::TimedOut { stage: Stage::Dns });
}
