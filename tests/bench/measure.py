#!/usr/bin/env python3
"""Our adapters against those that users would take instead, in one run: `python3 tests/bench/measure.py`.

Instructions come from callgrind and system calls from strace, both as the difference of a long and a short run, so
that neither the start nor the machine's load is in them. Milliseconds are in it and are only reported. Needs valgrind
and strace; `--build` and `--host` say what else they take. docs/performance.md explains each figure.
"""
import argparse, json, os, platform, resource, shutil, statistics, subprocess, sys, tempfile

sys.dont_write_bytecode = True
import events, host
from subjects import CALLGRIND, HERE, Strace, anchor, collected, invoked, ours, peak_memory, requested

TOTAL = b"total_cents"
KINDS = {
    "2k": (lambda: events.gateway(12), TOTAL, (100, 500)),
    "100k": (lambda: events.gateway(1780), TOTAL, (10, 50)),
    "sqs10": (lambda: events.queue(10), b'"batchItemFailures":[]', (50, 250)),
}
# Figure, what it is, our ratio to the first anchor: held, and reached for.
LAMBDA = [
    ("ir_2k", "instructions per 2 KB API Gateway event", 0.45, 0.30),
    ("ir_100k", "instructions per 100 KB API Gateway event", 1.0, 0.9),
    ("ir_sqs10", "instructions per ten SQS records", None, None),
    ("syscalls_2k", "system calls per 2 KB event", None, None),
    ("syscalls_100k", "system calls per 100 KB event", None, None),
    ("syscalls_sqs10", "system calls per ten SQS records", None, None),
    ("connections", "connections per 5,000 events", None, None),
    ("ir_first", "instructions from exec to first response", 0.45, 0.25),
    ("poll_warm_ms", "exec to first poll, ms, median", None, None),
    ("poll_warm_min_ms", "exec to first poll, ms, least", None, None),
    ("poll_cold_ms", "the same, pages dropped, ms, median", None, None),
    ("poll_cold_min_ms", "the same, pages dropped, ms, least", None, None),
    ("memory_kb", "peak memory after 1,000 events, kB", 0.6, 0.3),
    ("bytes", "binary, bytes", None, None),
    ("crates", "crates in the tree", None, None),
    ("build_cpu_s", "clean build, CPU seconds", None, None),
]
HTTP = [
    ("http_ir", "instructions per request (1 connection)", 0.70, 0.45),
    ("http_syscalls", "system calls per request", None, None),
    ("http_ir_first", "instructions from exec to first answer", None, None),
    ("http_memory_kb", "peak memory after 1,000 requests, kB", None, None),
    ("bytes", "binary, bytes", None, None),
    ("crates", "crates in the tree", None, None),
]
BINDINGS = [
    ("ir_first", "instructions from exec to first response", 1.10, None),
    ("poll_warm_ms", "exec to first poll, ms, median", None, None),
    ("poll_warm_min_ms", "exec to first poll, ms, least", None, None),
    ("poll_cold_ms", "the same, pages dropped, ms, median", None, None),
    ("poll_cold_min_ms", "the same, pages dropped, ms, least", None, None),
    ("memory_kb", "peak memory after 1,000 events, kB", None, None),
    ("bytes", "binary, bytes", None, None),
    ("crates", "crates in the tree", None, None),
]
# Not ratios: what a figure of ours may be.
LIMITS = {"syscalls_2k": (8, 4), "connections": (1, 1)} | host.LIMITS


def instructions(run, few, many):
    """What one call costs: the difference of two runs."""
    less, more = (collected(run(count, CALLGRIND)[1]) for count in (few, many))
    return (more - less) / (many - few)


def syscalls(run, few, many):
    counts = []
    for count in (few, many):
        with Strace() as strace:
            run(count, strace.wrapper)
            counts.append(strace.count())
    return (counts[1] - counts[0]) / (many - few)


def lambda_figures(programs, kinds):
    """`programs` has one program for every kind of event."""
    found = {}
    for kind in kinds:
        event, check, (few, many) = KINDS[kind]
        event = event()
        run = lambda count, wrapper=(), look=None: invoked(programs[kind], event, count, check, wrapper, look)
        found[f"ir_{kind}"] = instructions(run, few, many)
        found[f"syscalls_{kind}"] = syscalls(run, 20, 120)
        if kind == "2k":
            found["ir_first"] = collected(run(1, CALLGRIND)[1])
            found["memory_kb"] = run(1000, look=peak_memory)[0].seen
            found["connections"] = run(5000)[0].connections
    return found


def starts(subjects, rounds):
    """Exec to first poll, each subject in turn so that all see the same machine."""
    event, check, _ = KINDS["2k"]
    event = event()
    found = {name: {} for name in subjects}
    for temperature in ("warm", "cold"):
        times = {name: [] for name in subjects}
        for _ in range(rounds):
            for name, programs in subjects.items():
                if temperature == "cold":
                    drop_pages(programs["2k"])
                api, _ = invoked(programs["2k"], event, 1, check)
                times[name].append((api.polled - api.begun) * 1000)
        for name, values in times.items():
            found[name][f"poll_{temperature}_ms"] = statistics.median(values)
            found[name][f"poll_{temperature}_min_ms"] = min(values)
    return found


def drop_pages(program):
    file = os.open(program, os.O_RDONLY)
    os.fsync(file)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(file)


def http_figures(program, env):
    body = events.compact(events.order(12))
    run = lambda count, wrapper=(), look=None: requested(program, env, body, count, TOTAL, wrapper, look)
    return {
        "http_ir": instructions(run, 100, 1100),
        "http_syscalls": syscalls(run, 50, 550),
        "http_ir_first": collected(run(1, CALLGRIND)[1]),
        "http_memory_kb": run(1000, look=peak_memory)[0],
    }


def bindings_figures(programs, rounds):
    """A function that could send to a cloud's own queue and does not, beside one that could not."""
    event, check, _ = KINDS["2k"]
    event = event()
    found = {}
    for name, program in programs.items():
        run = lambda count, wrapper=(), look=None: invoked(program, event, count, check, wrapper, look)
        found[name] = {"ir_first": collected(run(1, CALLGRIND)[1]), "memory_kb": run(1000, look=peak_memory)[0].seen,
            "bytes": os.path.getsize(program)}
    if rounds:
        for name, times in starts({name: {"2k": program} for name, program in programs.items()}, rounds).items():
            found[name] |= times
    found["with"]["crates"], found["without"]["crates"] = crates("ours", "--features", "bindings"), crates("ours")
    return found


def crates(package, *more):
    """All of a program's dependencies, its own crate and the shared order left out."""
    command = ["cargo", "tree", "--edges", "normal", "--prefix", "none", "--manifest-path", f"{HERE}/Cargo.toml", *more, "--package"]
    lines = subprocess.run([*command, package], check=True, capture_output=True, text=True).stdout.splitlines()
    return len({line.split(" ")[0] for line in lines if line} - {package, "order"})


def build_seconds(build, package):
    """User and system time of a build with nothing built before; the sources are fetched already."""
    with tempfile.TemporaryDirectory() as target:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        build(package, target)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def plain_build(package, target):
    subprocess.run(["cargo", "build", "--release", "--quiet", "--manifest-path", f"{HERE}/Cargo.toml", "--package", package,
        "--target-dir", target], check=True)


def table(title, rows, found):
    """Prints a table and gives what was missed."""
    names = list(found)
    missed = []
    widths = [max(len(name), 11) + 3 for name in names]
    heads = "".join(f"{name:>{width}}" for name, width in zip(names, widths))
    print(f"\n{title}\n{'':46}{heads}{'ratio':>8}  hold  reach")
    for key, what, hold, reach in rows:
        values = [found[name].get(key) for name in names]
        if values[0] is None:
            continue
        ratio = values[0] / values[1] if values[1] else None
        shown = "".join(f"{number(value):>{width}}" for value, width in zip(values, widths))
        limit, wish = LIMITS.get(key, (hold, reach))
        held = limit is None or (values[0] if key in LIMITS else ratio or 0) <= limit
        if not held:
            missed.append(what)
        print(f"{what:46}{shown}{'' if ratio is None else f'{ratio:.2f}':>8}"
            f"  {'' if limit is None else limit:<4}  {'' if wish is None else wish:<4}{'' if held else '  MISSED'}")
    return missed


def number(value):
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:,.2f}"


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--json", metavar="FILE", help="write every figure there too")
    arguments.add_argument("--only", choices=["lambda", "http", "bindings", "host"], help="one part")
    arguments.add_argument("--kinds", default="2k,100k,sqs10", help="Lambda events, a comma list")
    arguments.add_argument("--rounds", type=int, default=15, help="starts of each program (0: none)")
    arguments.add_argument("--build", action="store_true", help="also clean builds: minutes")
    arguments.add_argument("--host", action="store_true", help="also the local host beside cargo lambda watch: needs wrk, and pip once")
    options = arguments.parse_args()
    for tool in ("valgrind", "strace"):
        if not shutil.which(tool):
            raise SystemExit(f"{tool} is not installed: apt-get install valgrind strace")
    kinds = options.kinds.split(",")
    mine = ours()
    missed, record = [], {"machine": platform.platform(), "processor": processor(), "processors": os.cpu_count()}
    if options.only in (None, "lambda"):
        official, mounted = anchor("lambda"), anchor("lambda-axum")
        queues = os.path.join(os.path.dirname(official), "lambda-sqs")
        subjects = {
            "xcloud": {kind: mine for kind in kinds},
            "lambda_runtime": {kind: queues if kind == "sqs10" else official for kind in kinds},
            "lambda_http + axum": {kind: mounted for kind in kinds if kind != "sqs10"},
        }
        packages = {"xcloud": "ours", "lambda_runtime": "lambda", "lambda_http + axum": "lambda-axum"}
        found = {name: lambda_figures(programs, programs) for name, programs in subjects.items()}
        if options.rounds and "2k" in kinds:
            for name, times in starts(subjects, options.rounds).items():
                found[name] |= times
        sizes(found, packages, {name: programs[kinds[0]] for name, programs in subjects.items() if kinds[0] in programs})
        if options.build:
            for name, package in packages.items():
                found[name]["build_cpu_s"] = build_seconds(plain_build, package)
        missed += table("Lambda", LAMBDA, found)
        record["lambda"] = found
    if options.only in (None, "http"):
        server = anchor("axum-server")
        found = {"xcloud": http_figures(mine, {"XCLOUD_PLATFORM": "http"}), "axum": http_figures(server, {})}
        sizes(found, {"xcloud": "ours", "axum": "axum-server"}, {"xcloud": mine, "axum": server})
        missed += table("HTTP", HTTP, found)
        record["http"] = found
    if options.only in (None, "bindings"):
        found = bindings_figures({"with": ours("bindings.toml"), "without": mine}, options.rounds)
        missed += table("The feature bindings", BINDINGS, found)
        record["bindings"] = found
    if options.host or options.only == "host":
        found = host.figures(mine, anchor("lambda"))
        missed += table("A request through a local host", host.ROWS, found)
        record["host"] = found
    if options.json:
        with open(options.json, "w") as file:
            json.dump(record, file, indent=2)
    return f"missed: {', '.join(missed)}" if missed else 0


def sizes(found, packages, programs):
    for name, program in programs.items():
        found[name] |= {"bytes": os.path.getsize(program), "crates": crates(packages[name])}


def processor():
    with open("/proc/cpuinfo") as file:
        return next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "")


if __name__ == "__main__":
    sys.exit(main())
