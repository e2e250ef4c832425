"""The process of one peer: reads requests from standard input, one line of JSON each, and answers in the same form.

``["steps", "mlp", ""]`` prepares a task; a number runs it that many times and answers with the seconds; ``"memory"``
answers with the peak memory of the process in megabytes.
"""

import importlib
import json
import os
import resource
import sys


def main(peer: str) -> None:
    """Answer requests until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")  # output of libraries goes to standard error
    os.dup2(2, 1)
    module, run = importlib.import_module(f"benchmarks.speed.{peer}"), None
    for line in sys.stdin:
        request = json.loads(line)
        if request == "memory":
            answer = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        elif isinstance(request, list):
            what, name, variant = request
            run, answer = getattr(module, what)(name, variant), "ready"
        else:
            answer = run(request)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
