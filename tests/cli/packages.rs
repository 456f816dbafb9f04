//! The packages: the same bytes in all of them.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use xcloud_serve::host::free_port;

use crate::{data, program, root, scratch};

/// What a static `orders`, of requests and one queue, may weigh with every room on. The decoders of other events are not
/// in it (`core/src/linked.rs`): they would be 300 KB more. With a glibc before 2.36 the linker cannot pack relocations,
/// which is 70 KB more.
const BUDGET: u64 = 2_500_000;
/// And with what sends to a cloud's own queue: names looked up, TLS, signatures.
const BUDGET_WITH_BINDINGS: u64 = 4_000_000;

#[test]
fn every_package_holds_the_same_static_binary_and_is_reproducible() {
    let home = scratch("packages");
    let build = || data(&home, &["-C", "examples/orders", "build", "-o", "json"]);
    let first = build();
    let artifacts = first["artifacts"].as_array().expect("a list");
    let providers: Vec<_> = artifacts.iter().map(|a| a["provider"].as_str().unwrap_or("")).collect();
    assert_eq!(providers, ["aws", "azure", "gcp", "alibaba"]);
    let binaries: BTreeSet<_> = artifacts.iter().map(|a| a["binary_sha256"].to_string()).collect();
    assert_eq!(binaries.len(), 1, "{binaries:?}");
    let bytes = artifacts[0]["binary_bytes"].as_u64().expect("a number");
    println!("orders: {bytes} bytes");
    assert!(bytes <= BUDGET_WITH_BINDINGS, "orders has {bytes} bytes, the budget is {BUDGET_WITH_BINDINGS}");
    // Packed again, the same hashes. What a package was made of is beside it; without that it is packed again.
    for provider in &providers {
        let facts = root().join(format!("examples/orders/.xcloud/build/package-{provider}.json"));
        std::fs::remove_file(&facts).unwrap_or_else(|e| panic!("{}: {e}", facts.display()));
    }
    assert_eq!(first, build());
    let inside: BTreeSet<_> = artifacts.iter().map(|a| binary(a["path"].as_str().expect("a path"))).collect();
    assert_eq!(inside.len(), 1, "the binaries inside differ");
}

/// The sha256 of the largest file of a package, read by a program that is not ours.
fn binary(path: &str) -> String {
    let script = "import sys,zipfile,tarfile,hashlib\np=sys.argv[1]\n\
        z=zipfile.ZipFile(p) if p.endswith('.zip') else None\n\
        f=max(z.infolist(),key=lambda i:i.file_size) if z else max(tarfile.open(p),key=lambda i:i.size)\n\
        m=(f.external_attr>>16)&0o777 if z else f.mode\n\
        assert m==0o755,oct(m)\n\
        b=z.read(f) if z else tarfile.open(p).extractfile(f.name).read()\n\
        print(hashlib.sha256(b).hexdigest())";
    let output = Command::new("python3").args(["-c", script, path]).output().expect("python3 runs");
    assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn the_azure_package_has_the_files_that_the_host_reads() {
    let home = scratch("azure");
    let built = data(&home, &["-C", "examples/orders", "build", "-p", "azure", "-o", "json"]);
    let path = built["artifacts"][0]["path"].as_str().expect("a path");
    let script = "import sys,zipfile\nprint(' '.join(sorted(zipfile.ZipFile(sys.argv[1]).namelist())))";
    let mut output = Command::new("python3");
    let output = output.args(["-c", script, path]).output().expect("python3 runs");
    let names = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in ["fulfil-", "/function.json", "handler", "host.json", "http/function.json"] {
        assert!(names.contains(part), "{part} is not in {names}");
    }
    assert!(!names.contains("fulfil/"), "the event function's name can be guessed: {names}");
}

/// `examples/orders` elsewhere, as its developer would turn the feature off.
fn without_bindings() -> PathBuf {
    let (home, examples) = (scratch("bindings"), root().join("examples"));
    let read = |file: &str| std::fs::read_to_string(examples.join(file)).expect("a file of the example");
    let write =
        |file: &str, text: String| std::fs::write(home.join(file), text).expect("a scratch directory");
    // The workspace's own keys, for the package that is now alone in it.
    let (workspace, package) = (read("Cargo.toml"), read("orders/Cargo.toml"));
    let members = workspace.lines().map(|line| if line.starts_with("members") { "" } else { line });
    let members: Vec<_> = members.collect();
    let providers = root().join("providers").display().to_string();
    write(
        "Cargo.toml",
        format!("{}\n{}", package.replace("../../providers", &providers), members.join("\n")),
    );
    write("Cargo.lock", read("Cargo.lock"));
    let (with, off) = (read("orders/xcloud.toml"), "features = []");
    assert!(with.contains("features = [\"bindings\"]"), "{with}");
    write("xcloud.toml", with.replace("features = [\"bindings\"]", off));
    std::fs::create_dir_all(home.join("src")).expect("a scratch directory");
    for file in ["src/main.rs", "src/order.rs", "src/payments.rs"] {
        write(file, read(&format!("orders/{file}")));
    }
    home
}

#[test]
fn without_what_sends_to_clouds_it_is_smaller_and_says_how_to_turn_that_on() {
    let home = without_bindings();
    let run = |arguments: &[&str]| {
        let mut build = Command::new(program());
        // Not where `examples/orders` is built: tests compare its bytes meanwhile.
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
        build.env("CARGO_TARGET_DIR", target.join("without-bindings")).env_remove("RUSTFLAGS");
        build.arg("-C").arg(&home).args(arguments).output().expect("xcloud starts")
    };
    let output = run(&["build", "-p", "aws", "-o", "json"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let built: serde_json::Value = serde_json::from_str(&text).expect("one object");
    let artifact = &built["data"]["artifacts"][0];
    let bytes = artifact["binary_bytes"].as_u64().expect("a number");
    println!("orders without bindings: {bytes} bytes");
    assert!(bytes <= BUDGET, "{bytes} bytes, the budget is {BUDGET}");
    let path = artifact["path"].as_str().expect("a path");
    let said = order_placed(&home, path, "sqs:https://sqs.eu-west-1.amazonaws.com/1/orders");
    assert!(said.starts_with("HTTP/1.1 503"), "{said}");
    for part in ["scheme `sqs`", "the feature `bindings` of the crate xcloud", "[build] features"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    // And no deployment to AWS begins that would answer so.
    let refused = run(&["plan", "-p", "aws", "--no-build"]);
    assert_eq!(refused.status.code(), Some(6), "{}", String::from_utf8_lossy(&refused.stderr));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("the feature `bindings`"));
}

#[test]
fn with_it_a_queue_that_is_not_there_is_another_error() {
    let home = scratch("with-bindings");
    let built = data(&home, &["-C", "examples/orders", "build", "-p", "aws", "-o", "json"]);
    let path = built["artifacts"][0]["path"].as_str().expect("a path");
    let said = order_placed(&home, path, "sqs:http://127.0.0.1:9/1/orders");
    assert!(said.starts_with("HTTP/1.1 503") && said.contains("sqs:SendMessage at 127.0.0.1:9"), "{said}");
}

/// What the program in a package for Lambda answers to an order, started by hand with its queue bound.
fn order_placed(home: &Path, package: &str, binding: &str) -> String {
    let script = "import sys,zipfile,os\nos.chmod(zipfile.ZipFile(sys.argv[1]).extract('bootstrap',sys.argv[2]),0o755)";
    let unpacked = Command::new("python3").args(["-c", script, package]).arg(home).status();
    assert!(unpacked.is_ok_and(|status| status.success()), "{package} has no bootstrap");
    let port = free_port().expect("a port");
    let mut command = Command::new(home.join("bootstrap"));
    command
        .env_clear()
        .env("XCLOUD_PLATFORM", "http")
        .env("XCLOUD_FUNCTION", "http")
        .env("PORT", port.to_string());
    command.env("XCLOUD_QUEUE_ORDER_PLACED", binding).env("AWS_REGION", "eu-west-1");
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("orders starts");
    let answer = place(port);
    drop(child.kill());
    drop(child.wait());
    answer
}

fn place(port: u16) -> String {
    let body = r#"{"order_id":"o-1","customer":"ada","currency":"EUR","items":[{"sku":"A","qty":1,"price_cents":5}]}"#;
    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
    let mut stream = loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => break stream,
            Err(error) => assert!(std::time::Instant::now() < end, "orders does not listen: {error}"),
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    let head = format!(
        "POST /orders HTTP/1.0\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer.replace("HTTP/1.0", "HTTP/1.1")
}
