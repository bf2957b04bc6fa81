"""What every peer does alike; goes in front of its script.

The argument is a JSON object: what to run, on which device and how many threads, and how often.
"""

import json
import statistics
import sys
import time

request = json.loads(sys.argv[1])


def peak_bytes():
    """The process's peak memory, as the kernel counts it.

    Not getrusage's maximum: that begins with what the parent process had.
    """
    try:
        with open("/proc/self/status") as status:
            (line,) = [line for line in status if line.startswith("VmHWM:")]
            return 1024 * int(line.split()[1])
    except (OSError, ValueError):
        return None


def report(program, run, steps=1, peak_bytes=peak_bytes):
    """Times `run`, which does so many steps, after a warm-up; prints the median as images a second."""
    repeat = request["repeat"]
    run()
    seconds = []
    first = time.perf_counter()
    while len(seconds) < repeat["runs"] or time.perf_counter() - first < repeat["seconds"]:
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    rate = steps * request["batch"] / statistics.median(seconds)
    print(json.dumps({"program": program, "img_per_s": rate, "peak_bytes": peak_bytes()}))
