//! The courier against everything that would lead it elsewhere than to the endpoint: spellings, names, resolvers,
//! header injection, proxies. A canary listens where it must not arrive.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

#[tokio::test]
async fn no_spelling_of_this_machine_is_reached_by_default() {
    let canary = Receiver::start(|_| Answer::status(200));
    let strict =
        Courier::with_lookup(Settings { allow_http: true, ..Settings::default() }, lookup(&["127.0.0.1"])).unwrap();
    for host in "127.0.0.1 127.1 2130706433 0x7f000001 0177.0.0.1 ①②⑦.⓪.⓪.① 127.0.0.1. 0.0.0.0 [::] [::1] \
         [::ffff:127.0.0.1] localhost localhost. LocalHost a.localhost printer db.internal hooks.example"
        .split(' ')
    {
        for scheme in ["http", "https"] {
            let carried = carry(&strict, &format!("{scheme}://{host}:{}/", canary.port())).await;
            assert_blocked(&carried, "");
            assert_eq!(carried.timings.connect_us, None);
        }
    }
    assert_eq!(canary.connections(), 0);
}

#[tokio::test]
async fn a_name_with_one_inner_address_is_blocked() {
    let canary = Receiver::start(|_| Answer::status(200));
    let settings = Settings { allow_http: true, ..Settings::default() };
    for addresses in [&["1.1.1.1", "127.0.0.1"][..], &["127.0.0.1"], &["::ffff:127.0.0.1"], &["64:ff9b::7f00:1"]] {
        let courier = Courier::with_lookup(settings.clone(), lookup(addresses)).unwrap();
        let carried = carry(&courier, &format!("http://hooks.example:{}/", canary.port())).await;
        assert_blocked(&carried, "127.0.0.0/8, this machine");
    }
    // What was allowed for one network says nothing of another.
    let courier = Courier::with_lookup(lenient(), lookup(&["127.0.0.1", "10.0.0.1"])).unwrap();
    let carried = carry(&courier, &format!("http://hooks.example:{}/", canary.port())).await;
    assert_blocked(&carried, "10.0.0.1 is in 10.0.0.0/8");
    assert_eq!(canary.connections(), 0);
}

#[tokio::test]
async fn a_name_is_resolved_and_judged_anew_for_each_connection() {
    let receiver = Receiver::start(|_| Answer::status(200).then_close());
    let calls = AtomicUsize::new(0);
    let rebinding: Lookup = Arc::new(move |_| {
        let first = calls.fetch_add(1, Ordering::SeqCst) == 0;
        let address: IpAddr = if first { [127, 0, 0, 1] } else { [169, 254, 169, 254] }.into();
        Box::pin(async move { Ok(vec![address]) })
    });
    let settings = Settings { idle_connections: 0, ..lenient() };
    let courier = Courier::with_lookup(settings, rebinding).unwrap();
    let url = format!("http://hooks.example:{}/", receiver.port());
    assert_eq!(status(&carry(&courier, &url).await), 200);
    assert_blocked(&carry(&courier, &url).await, "metadata");
}

#[tokio::test]
async fn a_header_that_could_break_the_request_is_not_sent() {
    let receiver = Receiver::start(|_| Answer::status(200));
    for (name, value) in [("x-a", "b\r\nx-c: d"), ("x a", "b"), ("", "b"), ("x-a", "b\0")] {
        let mut request = request(&receiver.url(), PATIENCE);
        request.headers.push((name.to_owned(), value.to_owned()));
        assert_blocked(&courier().carry(&request, NOW).await, "cannot be sent");
    }
    assert_eq!(receiver.connections(), 0);
}

/// Runs itself again in a process whose environment names a proxy: here it cannot be changed safely.
#[test]
fn proxies_of_the_environment_are_not_used() {
    const NAME: &str = "courier::walls::proxies_of_the_environment_are_not_used";
    if std::env::var_os("HTTP_PROXY").is_some_and(|proxy| proxy.to_string_lossy().contains("/proxy-of-the-test")) {
        let receiver = Receiver::start(|_| Answer::status(200));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        assert_eq!(status(&runtime.block_on(carry(&courier(), &receiver.url()))), 200);
        return;
    }
    let proxy = Receiver::start(|_| Answer::status(407));
    let url = format!("http://127.0.0.1:{}/proxy-of-the-test", proxy.port());
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", NAME]).env_remove("NO_PROXY").env_remove("no_proxy");
    for variable in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        child.env(variable, &url);
    }
    let output = child.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    assert_eq!(proxy.connections(), 0);
}
