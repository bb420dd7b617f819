//! The purchase that the README shows runs as it stands there.

use std::fs;

use super::{chapter, shell};

#[test]
fn the_purchase_of_the_workbench_works_as_it_is_written() {
    let chapter = chapter("Workbench");
    let blocks = chapter.split("```sh\n").skip(1).map(|block| block.split("\n```").next().unwrap());
    let block = blocks.into_iter().find(|block| block.contains("sandbox approve")).expect("a purchase");
    let folder = tempfile::tempdir().unwrap();
    // Ports of its own: the tests of somebody else may hold these.
    let port = || crate::receivers::free_port().to_string();
    let (receiver, sandbox) = (port(), port());
    let script = block
        .replace("postrider listen >", &format!("postrider listen --port {receiver} >"))
        .replace("sandbox --folder", &format!("sandbox --listen 127.0.0.1:{sandbox} --folder"))
        .replace("3000", &receiver)
        .replace("8790", &sandbox);
    let mut command = shell(folder.path(), &script, &["listen", "sandbox"]);
    let output = command.env("POSTRIDER_SANDBOX", format!("http://127.0.0.1:{sandbox}")).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap_or_default();
    let heard = read("listen.log");
    let all =
        format!("{told}\n--\n{}\n--\n{}\n--\n{heard}", String::from_utf8_lossy(&output.stderr), read("sandbox.log"));
    assert!(output.status.success(), "{all}");
    assert_eq!(told.matches(r#""exctnFdbck":{"id":"75"}"#).count(), 2, "{all}");
    assert!(told.contains(r#""status":"a""#) && told.contains(r#""status":"QUEUED""#), "{all}");
    for (event, state) in [("policy/creation", "delivered"), ("policy/approved", "delivered")] {
        assert!(told.lines().any(|line| line.contains(event) && line.contains(state)), "{event}: {all}");
        assert!(heard.contains(event), "{event}: {all}");
    }
}
