"""How reference.py and reference_blip.py time a step."""

import json
import resource
import statistics
import sys
import time


def measure(step, repeats, **more):
    """Prints the median seconds of a step and the most memory the process ever held as JSON, and whatever else is
    given."""
    step()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"seconds": statistics.median(seconds), "mib": peak_mib(), **more}))


def peak_mib():
    # macOS counts bytes, Linux KiB.
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
