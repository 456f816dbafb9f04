//! Many clients, and clients that are slow, half closed or send too much.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::tenant::{Connection, Tenant, get, who};

/// As many open files as this user may have: each client is one.
fn many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .expect("it can be raised");
}

/// So many clients, each on a connection of its own, all at once; every one sends so many requests, one after the other.
fn clients(url: &str, clients: usize, requests: usize, path: &'static str) {
    use xcloud_serve::Client;
    use xcloud_serve::client::Address;
    let port = url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = move |_| async move {
            let mut client = Client::new(Address::Tcp { host: "127.0.0.1".to_owned(), port });
            for _ in 0..requests {
                let reply = client.request("GET", path, &[], b"").await.expect("an answer");
                let body = String::from_utf8_lossy(&reply.body).into_owned();
                assert_eq!(reply.status, 200, "{body}");
            }
        };
        let running: Vec<_> = (0..clients).map(|n| tokio::spawn(client(n))).collect();
        for client in running {
            client.await.expect("every request was answered 200");
        }
    });
}

/// The acceptance line of issue 3: every request is answered 2xx, with the defaults.
#[test]
fn a_thousand_clients_with_twenty_requests_each_are_all_answered() {
    many_files();
    let tenant = Tenant::new("thousand");
    let url = tenant.deploy("");
    clients(&url, 1000, 20, "/wait?ms=5");
    let metrics = tenant.run(&["metrics", "http"]);
    let function = &metrics["functions"][0];
    assert_eq!(
        (function["calls"].as_u64(), function["errors"].as_u64()),
        (Some(20_000), Some(0)),
        "{function}"
    );
    println!("{function}");
}

#[test]
fn a_thousand_idle_connections_keep_nobody_out() {
    many_files();
    let tenant = Tenant::new("idle");
    let url = tenant.deploy("");
    let address = url.trim_start_matches("http://");
    let idle: Vec<_> = (0..1000).map(|_| TcpStream::connect(address).expect("the app listens")).collect();
    clients(&url, 20, 5, "/wait?ms=1");
    drop(idle);
}

/// A client that sends a byte a second holds no place in an instance before its request is there.
#[test]
fn slow_clients_take_no_place_from_others() {
    let tenant = Tenant::new("slow");
    let url = tenant.deploy("[functions.http]\nconcurrency = 1\nmax_instances = 1\n");
    let address = url.trim_start_matches("http://").to_owned();
    let slow = |_| {
        let address = address.clone();
        std::thread::spawn(move || {
            let mut stream = TcpStream::connect(&address).expect("the app listens");
            stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout can be set");
            let request = b"GET /wait?ms=1 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
            let (whole, dripped) = request.split_at(request.len() - 4);
            stream.write_all(whole).expect("it can be sent");
            for byte in dripped {
                std::thread::sleep(Duration::from_secs(1));
                stream.write_all(&[*byte]).expect("it can be sent");
            }
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("an answer");
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        })
    };
    let slow: Vec<_> = (0..50).map(slow).collect();
    let mut quick = Connection::new(&url);
    for _ in 0..50 {
        assert_eq!(quick.get("/wait?ms=1").0, 200);
    }
    slow.into_iter().for_each(|client| client.join().expect("slow clients are answered too"));
}

/// A client that has said all it has to say still gets its answer; one that goes away takes its call with it.
#[test]
fn half_closed_and_vanished_clients_leave_nothing_behind() {
    let tenant = Tenant::new("half");
    let url = tenant.deploy("[functions.http]\nconcurrency = 2\nmax_instances = 1\n");
    let address = url.trim_start_matches("http://");
    let send = |path: &str| {
        let mut stream = TcpStream::connect(address).expect("the app listens");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            .expect("it can be sent");
        stream
    };
    let mut half = send("/wait?ms=300");
    half.shutdown(Shutdown::Write).expect("it can be half closed");
    let mut answer = String::new();
    half.read_to_string(&mut answer).expect("it can be read");
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 200"), "{answer}");
    for _ in 0..20 {
        drop(send("/wait?ms=10000"));
    }
    // Their places are free again: with two places in all, these would wait for ten seconds otherwise.
    let started = std::time::Instant::now();
    assert_eq!(get(&url, "/wait?ms=1").0, 200);
    assert!(started.elapsed() < Duration::from_secs(9), "{:?}", started.elapsed());
}

/// It is refused before it is read, announced or not, and the host's memory stays small.
#[test]
fn a_gigabyte_against_a_limit_of_ten_megabytes_is_refused() {
    let tenant = Tenant::new("large");
    let url = tenant.deploy("[functions.http]\nenv = { XCLOUD_MAX_BODY = \"10485760\" }\n");
    let address = url.trim_start_matches("http://");
    let piece = vec![b'x'; 1024 * 1024];
    for announced in [true, false] {
        let mut stream = TcpStream::connect(address).expect("the app listens");
        let how = if announced { "content-length: 1073741824" } else { "transfer-encoding: chunked" };
        write!(stream, "POST /jobs HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n{how}\r\n\r\n")
            .expect("sent");
        let mut reader = stream.try_clone().expect("a second handle");
        let answer = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let mut buffer = [0; 1024];
            // A reset after the answer is the host's right.
            while let Ok(n @ 1..) = reader.read(&mut buffer) {
                bytes.extend_from_slice(&buffer[..n]);
            }
            String::from_utf8_lossy(&bytes).into_owned()
        });
        for _ in 0..1024 {
            let sent = if announced {
                stream.write_all(&piece)
            } else {
                write!(stream, "{:x}\r\n", piece.len())
                    .and_then(|()| stream.write_all(&piece))
                    .and_then(|()| stream.write_all(b"\r\n"))
            };
            if sent.is_err() {
                break;
            }
        }
        let answer = answer.join().expect("an answer");
        assert!(
            answer.starts_with("HTTP/1.1 413") && answer.contains("10485760"),
            "announced: {announced}: {answer}"
        );
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", crate::faults::host(&tenant.home)))
        .expect("it runs");
    let peak = status
        .lines()
        .find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    assert!(peak.is_some_and(|kb| kb < 200 * 1024), "the host has used {peak:?} kB");
    assert_eq!(who(&url)["version"], "v1");
}
