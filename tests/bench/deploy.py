#!/usr/bin/env python3
"""A deployment that changes nothing, and `cargo lambda deploy` of the same binary: `python3 tests/bench/deploy.py`.

Both speak to a simulator of AWS's control plane that is ours (`tests/src/aws.rs`) and answers at once, so that what is
measured is the tools' own time. They take turns, and the medians of whole processes' wall time are compared, in the
same run. docs/performance.md explains the figures.
"""
import argparse, json, os, platform, socket, statistics, subprocess, sys, tempfile, time

sys.dont_write_bytecode = True
from host import cargo_lambda
from subjects import HERE, ROOT, free_port

ROLE = "arn:aws:iam::123456789012:role/xcloud/one/dev/one-dev-http"
# Figure, what is measured, the most that its ratio to the rival's may be.
OURS = [
    ("no-build", "`xcloud deploy --no-build`", ["deploy", "--no-build"], 0.1),
    ("build", "`xcloud deploy`, which asks cargo whether it is built", ["deploy"], 0.6),
]


def built():
    target = os.environ.get("CARGO_TARGET_DIR", f"{ROOT}/target")
    subprocess.run(["cargo", "build", "--release", "--quiet", "--manifest-path", f"{ROOT}/Cargo.toml", "--package", "xcloud-cli",
        "--package", "xcloud-tests", "--bin", "xcloud", "--bin", "awsim"], check=True)
    return f"{target}/release/xcloud", f"{target}/release/awsim"


def timed(command, env, folder):
    begun = time.monotonic()
    run = subprocess.run(command, env=env, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    seconds = time.monotonic() - begun
    if run.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {run.returncode}: {run.stderr}{run.stdout}")
    return seconds * 1e3, run.stdout


def served(program, delay):
    """The control plane, once it listens."""
    port = free_port()
    process = subprocess.Popen([program, "--port", str(port), "--delay-ms", str(delay)])
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return process, f"http://127.0.0.1:{port}"
        except ConnectionRefusedError:
            time.sleep(0.01)
    process.kill()
    raise SystemExit(f"{program} does not listen")


def commands(program, rival, binary):
    project = f"{HERE}/one"
    theirs = [rival, "lambda", "deploy", "rival", "--output-format", "json", "--binary-path", binary, "--role", ROLE]
    ours = {name: [program, "-C", project, "-p", "aws", "-o", "json", *verb] for name, _, verb, _ in OURS}
    return ours, theirs


def unchanged(text):
    calls = json.loads(text)["data"]["deployments"][0]["calls"]
    assert calls["write"] == 0, calls
    return calls


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--delay-ms", type=int, default=0, help="what the control plane takes for an answer")
    options = parser.parse_args()
    program, simulator = built()
    rival = cargo_lambda()
    with tempfile.TemporaryDirectory() as folder:
        control, endpoint = served(simulator, options.delay_ms)
        try:
            measure(options, (program, rival), endpoint, folder)
        finally:
            control.kill()


def measure(options, programs, endpoint, folder):
    env = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    env |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": endpoint, "XCLOUD_HOME": f"{folder}/home"}
    program, rival = programs
    subprocess.run([program, "-C", f"{HERE}/one", "-p", "aws", "build", "--quiet"], env=env, check=True, stdout=subprocess.DEVNULL)
    # The rival packs a file with the mode that it has, under the name that it has.
    binary = f"{folder}/bootstrap"
    with open(f"{HERE}/one/.xcloud/build/binary", "rb") as made, open(binary, "wb") as file:
        file.write(made.read())
    os.chmod(binary, 0o755)
    ours, theirs = commands(program, rival, binary)
    timed(ours["no-build"], env, HERE)
    timed(theirs, env, f"{HERE}/one")
    found = {name: [] for name in [*ours, "theirs"]}
    for _ in range(options.rounds):
        for name, command in ours.items():
            took, text = timed(command, env, HERE)
            calls = unchanged(text)
            found[name].append(took)
        found["theirs"].append(timed(theirs, env, f"{HERE}/one")[0])
    report(found, calls, options)


def report(found, calls, options):
    load = os.getloadavg()[0]
    print(f"{options.rounds} rounds, {options.delay_ms} ms a call, {os.cpu_count()} cores, load {load:.1f}, {platform.machine()}\n")
    print("| | median, ms | least, ms | ratio | hold |\n| --- | ---: | ---: | ---: | ---: |")
    anchor = statistics.median(found["theirs"])
    broken = []
    for name, words, _, most in OURS:
        median = statistics.median(found[name])
        ratio = median / anchor
        broken += [f"{words}: {ratio:.2f} is over {most}"] if ratio > most else []
        print(f"| {words} | {median:.0f} | {min(found[name]):.0f} | {ratio:.3f} | {most} |")
    print(f"| `cargo lambda deploy` 1.9.2 | {anchor:.0f} | {min(found['theirs']):.0f} | 1 | |")
    print(f"\nOurs made {calls['read']} reads and {calls['write']} writes.")
    if broken:
        raise SystemExit("\n".join(broken))


if __name__ == "__main__":
    main()
