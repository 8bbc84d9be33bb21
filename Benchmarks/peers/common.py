"""What the benchmarks of the peers share: timing, the machine's limits, the report.

A report is the JSON that `omma bench --json` prints too:

    {"program": "...", "config": "qwen2-vl-2b", "dtype": "bf16", "threads": 2,
     "limits": {"memory_read": GB/s, "matmul": GFLOP/s},
     "rows": [{"name": "prefill_512", "unit": "tokens/s", "better": "higher", "best": 1.0, "median": 1.0,
               "runs": [1.0], "limit": 2.0, "share": 0.5}]}

`limit` is what the machine's limits allow, and `share` how much of it the best run reached (1 is perfect).
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import time

import torch


def cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def add_options(parser, rows, runs):
    parser.add_argument("--rows", type=lambda text: text.split(","), default=rows, metavar="A,B", help=",".join(rows))
    parser.add_argument("--threads", type=int, default=cores(), metavar="N", help="default: one a core")
    parser.add_argument("--runs", type=int, default=runs, metavar="N", help=f"runs of a row (default {runs})")
    parser.add_argument("--seconds", type=float, default=60, metavar="S", help="no new run of a row after (default 60)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")


def check_rows(parser, options, rows):
    unknown = [row for row in options.rows if row not in rows]
    if unknown:
        parser.error(f"no such row: {','.join(unknown)} (there are {','.join(rows)})")


def say(text):
    print(text, file=sys.stderr, flush=True)


def repeat(action, options):
    """Seconds of each run of `action`."""

    def timed():
        begin = time.perf_counter()
        action()
        return time.perf_counter() - begin

    return repeat_timed(timed, options)


def repeat_timed(action, options):
    """What each run of `action` returns; no run starts when the row has had its time."""
    results, start = [], time.perf_counter()
    while len(results) < options.runs and (not results or time.perf_counter() - start < options.seconds):
        results.append(action())
    return results


def row(name, unit, runs, limit, better="higher"):
    best = max(runs) if better == "higher" else min(runs)
    return {
        "name": name,
        "unit": unit,
        "better": better,
        "best": best,
        "median": statistics.median(runs),
        "runs": runs,
        "limit": limit,
        "share": best / limit if better == "higher" else limit / best,
    }


def peak_memory():
    """The largest resident size of this process so far, in GB."""
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size * (1 if sys.platform == "darwin" else 1024) / 1e9


def measure_limits(threads):
    """Memory read (GB/s) and bf16 matmul (GFLOP/s) at their best, in a process of its own: its memory is not ours."""
    line = subprocess.run([sys.executable, __file__, str(threads)], check=True, capture_output=True, text=True).stdout
    return json.loads(line)


def better_limits(first, second):
    return {name: max(first[name], second[name]) for name in first}


def _limits(threads):
    torch.set_num_threads(threads)

    def best(action, times):
        seconds = []
        for _ in range(times):
            begin = time.perf_counter()
            action()
            seconds.append(time.perf_counter() - begin)
        return min(seconds)

    numbers = torch.ones(1 << 28)  # 1 GiB, many times any cache
    read = max(numbers.nbytes / best(action, 5) / 1e9 for action in (numbers.sum, numbers.amax))
    del numbers
    rates = []
    for side, times in ((2048, 8), (4096, 3)):
        left, right = (torch.randn(side, side).bfloat16() for _ in range(2))
        out = torch.empty(side, side, dtype=torch.bfloat16)
        for other in (right, right.T):
            rates.append(2 * side**3 / best(lambda: torch.mm(left, other, out=out), times) / 1e9)
    return {"memory_read": read, "matmul": max(rates)}


def print_report(report, as_json):
    if as_json:
        print(json.dumps(report))
        return
    limits = report["limits"]
    print(f"{report['program']}: {report['config']}, {report['dtype']}, {report['threads']} threads")
    print(f"limits: memory read {limits['memory_read']:.1f} GB/s, bf16 matmul {limits['matmul']:.0f} GFLOP/s\n")
    print("| row | best | median | unit | limit | of limit |")
    print("|---|---|---|---|---|---|")
    for entry in report["rows"]:
        numbers = [f"{entry[key]:.4g}" for key in ("best", "median")]
        print(f"| {entry['name']} | {' | '.join(numbers)} | {entry['unit']} | {entry['limit']:.4g} | {entry['share']:.0%} |")


if __name__ == "__main__":
    print(json.dumps(_limits(int(sys.argv[1]))))
