"""What a local host adds to a request and what it costs: ours, and `cargo lambda watch`. Load comes from `wrk`."""
import glob, json, os, re, shutil, statistics, subprocess, tempfile, time, zipfile

import events
from subjects import HERE, ROOT, TARGET, connect, free_port, start

TOOLS = os.path.join(os.environ.get("CARGO_TARGET_DIR", f"{ROOT}/target"), "tools")
TICK = os.sysconf("SC_CLK_TCK")
ROWS = [
    ("p50_us", "p50 of one connection, microseconds", None, None),
    ("added_us", "  of which the host adds", None, None),
    ("requests_s", "requests a second, ten connections", None, None),
    ("cpu_us", "the host's CPU per request, microseconds", 0.5, None),
]
# Ours, in microseconds.
LIMITS = {"added_us": (150, None)}


def cargo_lambda():
    """The program of the wheel, where the tests keep it too."""
    program = f"{TOOLS}/cargo-lambda-1.9.2/cargo-lambda"
    if not os.path.exists(program):
        os.makedirs(os.path.dirname(program), exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["python3", "-m", "pip", "download", "--quiet", "--no-deps", "cargo-lambda==1.9.2", "--dest", folder],
                check=True)
            wheel = zipfile.ZipFile(glob.glob(f"{folder}/*.whl")[0])
            name = next(name for name in wheel.namelist() if name.endswith("/scripts/cargo-lambda"))
            with open(program, "wb") as file:
                file.write(wheel.read(name))
        os.chmod(program, 0o755)
    return program


class Load:
    """Orders, as many as can be."""

    def __init__(self, folder):
        self.script = f"{folder}/post.lua"
        body = json.dumps(events.order(12), separators=(",", ":"))
        with open(self.script, "w") as file:
            file.write(f"wrk.method = 'POST'\nwrk.body = [[{body}]]\nwrk.headers['Content-Type'] = 'application/json'\n")

    def run(self, url, connections, pid=None, seconds=3):
        """p50 in microseconds, requests a second, and a process's CPU per request."""
        before = cpu(pid)
        text = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", self.script, url],
            check=True, capture_output=True, text=True).stdout
        used = cpu(pid) - before
        assert "Non-2xx" not in text and "Socket errors" not in text, text
        value, unit = re.search(r"50%\s+([\d.]+)(us|ms|s)", text).groups()
        count = int(re.search(r"(\d+) requests in", text).group(1))
        return float(value) * {"us": 1, "ms": 1e3, "s": 1e6}[unit], count / seconds, used / count * 1e6


def cpu(pid):
    """Seconds of user and system time so far."""
    if pid is None:
        return 0
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


class Ours:
    """The local provider, as `xcloud deploy` brings it up."""

    def __init__(self, folder):
        subprocess.run(["cargo", "build", "--release", "--quiet", "--manifest-path", f"{ROOT}/Cargo.toml", "--package", "xcloud-cli"],
            check=True)
        self.program = os.path.join(os.environ.get("CARGO_TARGET_DIR", f"{ROOT}/target"), "release/xcloud")
        self.env = os.environ | {"XCLOUD_HOME": f"{folder}/home"}
        self.url = self.xcloud("-C", f"{HERE}/ours", "deploy", "-p", "local")["deployments"][0]["url"] + "/orders"
        self.pid = self.xcloud("local", "status")["pid"]

    def xcloud(self, *arguments):
        run = subprocess.run([self.program, *arguments, "-o", "json"], env=self.env, stdout=subprocess.PIPE, check=True, text=True)
        return json.loads(run.stdout)["data"]

    def close(self):
        self.xcloud("local", "stop")


class CargoLambda:
    """The emulator, with a program that is built already."""

    def __init__(self, folder, program):
        project = tempfile.mkdtemp(dir=folder)
        os.mkdir(f"{project}/src")
        with open(f"{project}/Cargo.toml", "w") as file:
            file.write('[package]\nname = "bench"\nversion = "0.0.0"\nedition = "2024"\n[workspace]\n')
        with open(f"{project}/src/main.rs", "w") as file:
            file.write("fn main() {}\n")
        port = free_port()
        self.emulator = subprocess.Popen([cargo_lambda(), "lambda", "watch", "--only-lambda-apis", "-A", "127.0.0.1", "-P", str(port)],
            cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        connect(port, self.emulator).close()
        env = {
            "AWS_LAMBDA_RUNTIME_API": f"http://127.0.0.1:{port}/.rt/bench", "AWS_LAMBDA_FUNCTION_NAME": "bench",
            "AWS_LAMBDA_FUNCTION_VERSION": "1", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128", "AWS_LAMBDA_LOG_GROUP_NAME": "g",
            "AWS_LAMBDA_LOG_STREAM_NAME": "s", "AWS_REGION": "eu-west-1"}
        self.function = start(program, env)
        self.url, self.pid = f"http://127.0.0.1:{port}/lambda-url/bench/orders", self.emulator.pid

    def close(self):
        for process in (self.function, self.emulator):
            process.kill()
            process.wait()


class Direct:
    """Our program by itself, on a port."""

    def __init__(self, program):
        port = free_port()
        self.process = start(program, {"XCLOUD_PLATFORM": "http", "PORT": str(port)})
        connect(port, self.process).close()
        self.url, self.pid = f"http://127.0.0.1:{port}/orders", None

    def close(self):
        self.process.kill()
        self.process.wait()


def figures(mine, official, rounds=3):
    if not shutil.which("wrk"):
        raise SystemExit("wrk is not installed: apt-get install wrk")
    with tempfile.TemporaryDirectory() as folder:
        load = Load(folder)
        places = {}
        try:
            places["xcloud host"] = Ours(folder)
            places["cargo lambda + lambda_runtime"] = CargoLambda(folder, official)
            places["cargo lambda + xcloud"] = CargoLambda(folder, mine)
            places["no host"] = Direct(mine)
            # The first request of each may still start something.
            for place in places.values():
                load.run(place.url, 1, seconds=1)
            seen = {name: [] for name in places}
            for _ in range(rounds):
                for name, place in places.items():
                    one, ten = load.run(place.url, 1), load.run(place.url, 10, place.pid)
                    seen[name].append((one[0], ten[1], ten[2]))
        finally:
            for place in places.values():
                place.close()
    found = {}
    for name, rounds in seen.items():
        p50, rate, cost = (statistics.median(values) for values in zip(*rounds))
        found[name] = {"p50_us": p50, "requests_s": rate}
        if name != "no host":
            found[name]["cpu_us"] = cost
    for name in found:
        if name != "no host":
            found[name]["added_us"] = found[name]["p50_us"] - found["no host"]["p50_us"]
    return found
