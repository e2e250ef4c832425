"""One peer in a process of its own: reads what to do from standard input, a line of JSON each, and answers likewise.

``["steps", "mlp", ""]`` prepares something, a number does it as often and answers with the seconds, ``"memory"``
answers with the most memory that the process had, in megabytes.
"""

import importlib
import json
import os
import resource
import sys


def main(peer: str) -> None:
    """Answer until there is nothing more to do."""
    answers = os.fdopen(os.dup(1), "w")  # what libraries print goes elsewhere
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
