//! What only somebody who examines a receiver wants to know: whether a connection was kept, and how an answer ended.

use super::*;

#[tokio::test]
async fn it_is_told_how_the_answers_body_ended() {
    let courier = Courier::new(Settings { answer_body_wait: SHORT, ..lenient() }).unwrap();
    for (answer, end) in [
        (Answer::with(200, &[], b"whole"), BodyEnd::Whole),
        (Answer::with(200, &[], &[b'e'; 100_000]), BodyEnd::Cut),
        (Answer::drip(200), BodyEnd::Unfinished),
        (Answer::reset_in_body(200), BodyEnd::Broken),
    ] {
        let receiver = Receiver::start(move |_| answer.clone());
        let observed = courier.observe(&request(&receiver.url(), PATIENCE), NOW).await;
        assert_eq!(observed.body_end, Some(end));
        assert_eq!(status(&observed.carried), 200);
    }
    let receiver = Receiver::start(|_| Answer::close());
    assert_eq!(courier.observe(&request(&receiver.url(), PATIENCE), NOW).await.body_end, None);
}

#[tokio::test]
async fn it_is_told_whether_a_connection_was_there_already() {
    let receiver = Receiver::start(|_| Answer::status(200));
    let courier = courier();
    let mut observed = courier.observe(&request(&receiver.url(), PATIENCE), NOW).await;
    assert!(!observed.reused, "the first one has to connect");
    // A connection is back in the pool a moment after its answer was read.
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        observed = courier.observe(&request(&receiver.url(), PATIENCE), NOW).await;
        if observed.reused {
            break;
        }
    }
    assert!(observed.reused && receiver.connections() < receiver.requests().len());
}
