//! Programs of others that tests run, installed by the tests themselves at pinned versions into `target/tools`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Why a trial cannot run here.
#[derive(Debug)]
pub struct Skip(pub String);

/// Skips a trial, loudly; a failure where nothing may be skipped (`XCLOUD_REQUIRE_ALL=1`).
///
/// # Errors
/// The reason, under `XCLOUD_REQUIRE_ALL`.
pub fn skip(skip: &Skip) -> Result<(), String> {
    let Skip(why) = skip;
    if std::env::var_os("XCLOUD_REQUIRE_ALL").is_some() {
        return Err(format!("SKIPPED, and nothing may be skipped here: {why}"));
    }
    let mut stderr = std::io::stderr();
    drop(std::io::Write::write_all(&mut stderr, format!("SKIPPED: {why}\n").as_bytes()));
    Ok(())
}

fn folder() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    std::env::var_os("CARGO_TARGET_DIR").map_or(root, PathBuf::from).join("tools")
}

/// Makes a folder once: whole or not at all, also when several processes begin at once.
fn once(name: &str, make: impl FnOnce(&Path) -> Result<(), Skip>) -> Result<PathBuf, Skip> {
    // Trials run at once in one process; other processes are told apart by their id below.
    static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let done = folder().join(name);
    if done.exists() {
        return Ok(done);
    }
    let part = folder().join(format!("{name}.{}.part", std::process::id()));
    let io = |e: std::io::Error| Skip(format!("cannot write {}: {e}", part.display()));
    drop(std::fs::remove_dir_all(&part));
    std::fs::create_dir_all(&part).map_err(io)?;
    make(&part)?;
    if std::fs::rename(&part, &done).is_err() {
        // Another process was faster; its copy is as good.
        drop(std::fs::remove_dir_all(&part));
    }
    if done.exists() { Ok(done) } else { Err(Skip(format!("{} was not made", done.display()))) }
}

fn run(command: &mut Command) -> Result<Output, Skip> {
    let output = command.output().map_err(|e| Skip(format!("cannot run {command:?}: {e}")))?;
    if output.status.success() {
        return Ok(output);
    }
    Err(Skip(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr))))
}

/// AWS's own Runtime Interface Emulator, out of the wheel `aws-sam-cli` 1.170.0.
///
/// # Errors
/// When it cannot be fetched.
pub fn rie() -> Result<PathBuf, Skip> {
    let name = if cfg!(target_arch = "aarch64") { "aws-lambda-rie-arm64" } else { "aws-lambda-rie-x86_64" };
    let folder = once("rie-1.170.0", |part| {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "aws-sam-cli==1.170.0", "--dest"])
            .arg(part);
        run(&mut pip)?;
        let script = "import sys,zipfile,glob,os\nd,n=sys.argv[1:]\np=os.path.join(d,n)\n\
            z=zipfile.ZipFile(glob.glob(d+'/*.whl')[0])\nopen(p,'wb').write(z.read('samcli/local/rapid/'+n))\nos.chmod(p,0o755)";
        run(Command::new("python3").args(["-c", script]).arg(part).arg(name)).map(drop)
    })?;
    Ok(folder.join(name))
}

/// `cargo-lambda` 1.9.2 out of its wheel, without the compiler that the package asks for.
///
/// # Errors
/// When it cannot be fetched.
pub fn cargo_lambda() -> Result<PathBuf, Skip> {
    let folder = once("cargo-lambda-1.9.2", |part| {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "cargo-lambda==1.9.2", "--dest"])
            .arg(part);
        run(&mut pip)?;
        let script = "import sys,zipfile,glob,os\nd=sys.argv[1]\nw=glob.glob(d+'/*.whl')[0]\nz=zipfile.ZipFile(w)\n\
            n=next(n for n in z.namelist() if n.endswith('/scripts/cargo-lambda'))\np=d+'/cargo-lambda'\n\
            open(p,'wb').write(z.read(n))\nos.chmod(p,0o755)\nos.remove(w)";
        run(Command::new("python3").args(["-c", script]).arg(part)).map(drop)
    })?;
    Ok(folder.join("cargo-lambda"))
}

/// A PyPI package in an environment of its own, with `more` (`name==version`) beside it; gives the folder of its programs.
///
/// # Errors
/// When it cannot be installed.
pub fn python(package: &str, version: &str, more: &[&str]) -> Result<PathBuf, Skip> {
    // What is beside it is in the name: an environment of before that lacks one is not taken for this one.
    let beside: String = more.iter().map(|wanted| format!("+{}", wanted.replace("==", "-"))).collect();
    let name = format!("{package}-{version}{beside}");
    // Programs of an environment hold its path, so it is made where it stays.
    let home = folder().join(&name);
    once(&format!("{name}.done"), |_| {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home))?;
        let wanted = format!("{package}=={version}");
        let mut pip = Command::new(home.join("bin/python"));
        run(pip.args(["-m", "pip", "install", "--quiet", &wanted]).args(more)).map(drop)
    })?;
    Ok(home.join("bin"))
}

/// What a Python script of an environment writes as JSON when it is given `input` as JSON.
///
/// # Errors
/// What it wrote to stderr when it failed.
pub fn script(programs: &Path, script: &str, input: &serde_json::Value) -> Result<serde_json::Value, String> {
    let mut command = Command::new(programs.join("python"));
    command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| format!("{}: {e}", programs.display()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A script that died has said why.
        drop(std::io::Write::write_all(&mut stdin, input.to_string().as_bytes()));
    }
    let output = child.wait_with_output().map_err(|e| e.to_string())?;
    if !output.status.success() {
        return Err(format!("the script failed: {}", String::from_utf8_lossy(&output.stderr)));
    }
    serde_json::from_slice(&output.stdout).map_err(|e| format!("the script wrote no JSON: {e}"))
}

/// The source of a published crate, fetched by cargo.
///
/// # Errors
/// When it cannot be fetched.
pub fn crate_source(name: &str, version: &str) -> Result<PathBuf, Skip> {
    let folder = once(&format!("crate-{name}-{version}"), |part| {
        let manifest = format!(
            "[package]\nname = \"fetch\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[lib]\npath = \"lib.rs\"\n\
             [dependencies]\n{name} = {{ version = \"={version}\", default-features = false }}\n[workspace]\n"
        );
        let io = |e: std::io::Error| Skip(format!("{}: {e}", part.display()));
        std::fs::write(part.join("Cargo.toml"), manifest).map_err(io)?;
        std::fs::write(part.join("lib.rs"), "").map_err(io)
    })?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let output = run(cargo.current_dir(&folder).args(["metadata", "--format-version", "1"]))?;
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|e| Skip(format!("cargo metadata: {e}")))?;
    let package = metadata["packages"].as_array().into_iter().flatten().find(|p| p["name"] == name);
    let manifest = package.and_then(|p| p["manifest_path"].as_str()).map(PathBuf::from);
    let parent = manifest.as_deref().and_then(Path::parent).map(Path::to_owned);
    parent.ok_or_else(|| Skip(format!("cargo does not know {name} {version}")))
}
