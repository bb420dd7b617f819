//! The courier against heads that no standard knows: an untidy one is read, one without end is given up.

use super::*;

#[tokio::test]
async fn an_untidy_head_is_an_answer_and_its_status_decides() {
    let many: String = (0..500).map(|number| format!("x-filler-{number}: x\r\n")).collect();
    for untidy in [
        "x-spaced : before the colon\r\n",
        "x-folded: one\r\n two\r\n\tthree\r\n",
        "this line has no colon\r\n",
        "x bad name: value\r\n",
        "x-control: a\u{1}b\r\n",
        ": no name\r\n",
        "x-bare: newline\n",
        &many,
    ] {
        let head = format!("HTTP/1.1 200 OK\r\n{untidy}retry-after: 7\r\ncontent-length: 6\r\n\r\nthanks");
        let receiver = Receiver::start(move |_| Answer(vec![Step::Send(head.clone().into_bytes())]));
        let courier = courier();
        for _ in 0..2 {
            let carried = carry(&courier, &receiver.url()).await;
            let shown: String = untidy.chars().take(40).collect();
            let Reply::Head { status: 200, retry_after, body, .. } = &carried.reply else {
                panic!("{shown:?}: {:?}", carried.reply);
            };
            assert_eq!((retry_after.as_deref(), body.as_slice()), (Some("7"), &b"thanks"[..]), "{shown:?}");
        }
        assert_eq!((receiver.requests().len(), receiver.connections()), (2, 1), "the head was understood to its end");
    }
}

#[tokio::test]
async fn a_head_without_end_is_given_up() {
    let long = Receiver::start(|_| Answer::huge_head());
    assert_unreachable(&carry(&courier(), &long.url()).await, Stage::Answer, "message head is too large");
    for line in ["x-filler: x\r\n", "no colon here\r\n"] {
        let endless = Step::Repeat { bytes: line.repeat(100).into_bytes(), pause: Duration::ZERO };
        let head = Step::Send(b"HTTP/1.1 200 OK\r\n".to_vec());
        let answer = Answer(vec![head, endless]);
        let receiver = Receiver::start(move |_| answer.clone());
        let begun = Instant::now();
        let carried = carry(&courier(), &receiver.url()).await;
        assert_unreachable(&carried, Stage::Answer, "message head is too large");
        assert!(begun.elapsed() < Duration::from_secs(10), "{line:?}");
    }
}
