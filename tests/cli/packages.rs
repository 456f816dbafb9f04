//! The packages: the same bytes in all of them.

use std::collections::BTreeSet;

use crate::{data, scratch};

/// What a static `orders`, of requests and one queue, may weigh with every room on. The decoders of other events are not
/// in it (`core/src/linked.rs`): they would be 300 KB more. With a glibc before 2.36 the linker cannot pack relocations,
/// which is 70 KB more.
const BUDGET: u64 = 2_500_000;

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
    assert!(bytes <= BUDGET, "orders has {bytes} bytes, the budget is {BUDGET}");
    // Packed again, the same hashes.
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
    let output =
        std::process::Command::new("python3").args(["-c", script, path]).output().expect("python3 runs");
    assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn the_azure_package_has_the_files_that_the_host_reads() {
    let home = scratch("azure");
    let built = data(&home, &["-C", "examples/orders", "build", "-p", "azure", "-o", "json"]);
    let path = built["artifacts"][0]["path"].as_str().expect("a path");
    let script = "import sys,zipfile\nprint(' '.join(sorted(zipfile.ZipFile(sys.argv[1]).namelist())))";
    let mut output = std::process::Command::new("python3");
    let output = output.args(["-c", script, path]).output().expect("python3 runs");
    let names = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in ["fulfil-", "/function.json", "handler", "host.json", "http/function.json"] {
        assert!(names.contains(part), "{part} is not in {names}");
    }
    assert!(!names.contains("fulfil/"), "the event function's name can be guessed: {names}");
}
