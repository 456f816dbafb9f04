"""The programs that are compared, and how one is run and watched."""
import os, re, shutil, signal, socket, subprocess, tempfile, time

from runtime_api import RuntimeApi

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TARGET = os.environ.get("CARGO_TARGET_DIR", os.path.join(HERE, "target"))


def ours(config="xcloud.toml"):
    """Our program, built as users build it: `xcloud build`. A copy, so that another configuration's does not replace it."""
    subprocess.run(["cargo", "run", "--quiet", "--manifest-path", f"{ROOT}/Cargo.toml", "--package", "xcloud-cli", "--",
        "-C", f"{HERE}/ours", "--config", f"{HERE}/ours/{config}", "-q", "build", "-p", "aws"], check=True, stdout=subprocess.DEVNULL)
    built = f"{TARGET}/x86_64-unknown-linux-gnu/release/ours"
    return shutil.copy(built, f"{built}-{config.removesuffix('.toml')}")


def anchor(package, program=None):
    """Somebody else's, built as users build it: `cargo build --release` with the same profile."""
    subprocess.run(["cargo", "build", "--release", "--quiet", "--manifest-path", f"{HERE}/Cargo.toml", "--package", package,
        "--target-dir", TARGET], check=True)
    return f"{TARGET}/release/{program or package}"


def start(program, env, wrapper=()):
    return subprocess.Popen([*wrapper, program], env={"PATH": os.environ["PATH"], **env}, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, close_fds=False)


def invoked(program, event, count, check, wrapper=(), look=None):
    """Runs a Lambda program for `count` events and ends it; gives the Runtime API that saw it, and its stderr."""
    api = RuntimeApi(event, count)
    begun = time.monotonic()
    process = start(program, api.environment(), wrapper)
    try:
        while not api.done.wait(1):
            if process.poll() is not None:
                raise SystemExit(f"{program} ended after {len(api.answers)} answers: {process.stderr.read()}")
        assert len(api.answers) == count, (program, len(api.answers))
        assert all(check in answer for answer in api.answers), (program, api.answers[0])
        api.begun, api.seen = begun, look(process.pid) if look else None
    finally:
        text = end(process)
        api.close()
    return api, text


def end(process):
    # A wrapper's child is the program; strace ends with it, and callgrind is the program.
    with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
        children = [int(pid) for pid in file.read().split()]
    for pid in children or [process.pid]:
        os.kill(pid, signal.SIGTERM)
    return process.communicate()[1]


CALLGRIND = ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null")


def collected(text):
    return int(re.search(r"Collected : (\d+)", text).group(1))


class Strace:
    """Counts system calls of all threads."""

    def __enter__(self):
        self.file = tempfile.NamedTemporaryFile(mode="r", suffix=".strace")
        return self

    def __exit__(self, *_):
        self.file.close()

    @property
    def wrapper(self):
        return ("strace", "-f", "-qq", "-o", self.file.name)

    def count(self):
        self.file.seek(0)
        calls = re.compile(r"^\d+ +\w+\(")
        return sum(1 for line in self.file if calls.match(line))


def peak_memory(pid):
    """kB of the program's resident set at its highest."""
    with open(f"/proc/{pid}/status") as file:
        return int(re.search(r"VmHWM:\s+(\d+) kB", file.read()).group(1))


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def requested(program, env, body, count, check, wrapper=(), look=None):
    """Runs an HTTP program and asks it `count` times over one connection."""
    port = free_port()
    process = start(program, {"PORT": str(port), **env}, wrapper)
    try:
        peer = connect(port, process)
        request = (b"POST /orders HTTP/1.1\r\nhost: localhost\r\nuser-agent: bench\r\naccept: */*\r\n"
            b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        for _ in range(count):
            peer.sendall(request)
            answer = reply(peer)
            assert answer.startswith(b"HTTP/1.1 200") and check in answer, (program, answer)
        seen = look(process.pid) if look else None
        peer.close()
    finally:
        text = end(process)
    return seen, text


def connect(port, process):
    while True:
        try:
            peer = socket.create_connection(("127.0.0.1", port))
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return peer
        except ConnectionRefusedError:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)


def reply(peer):
    answer = b""
    while True:
        piece = peer.recv(1 << 16)
        assert piece, answer
        answer += piece
        head, found, body = answer.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.I)
        if found and length and len(body) >= int(length.group(1)):
            return answer
