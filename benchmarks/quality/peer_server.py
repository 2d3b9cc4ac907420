"""Serves optimizers of another library over standard input and output, a JSON text a line. Runs in its interpreter.

    {"do": "start", "method": "optuna-tpe", "columns": […], "seed": 1, "budget": 100, "parallel": 4}
    {"do": "ask", "count": 4}    {"do": "tell", "number": 0, "value": 0.5}

Points are asked for one by one; `count` says how many more of this batch will be. An answer has the CPU seconds of the
process so far, and `values` (null when there are no more) or, where the library failed, `error`. The folder `peers`
has a module for each library; a module knows nothing of pykatib, so that its interpreter needs the library only.
"""

import importlib
import json
import sys
import time
import warnings

warnings.simplefilter("ignore")


def answer(state, message):
    """What the optimizer says to a message."""
    if message["do"] == "start":
        module = importlib.import_module("peers." + message["module"])
        settings = {name: message[name] for name in ("seed", "budget", "parallel")}
        state["optimizer"] = module.Optimizer(message["method"], message["columns"], **settings)
        return {}
    if message["do"] == "ask":
        return {"values": state["optimizer"].ask(message["count"])}
    if message["do"] == "tell":
        state["optimizer"].tell(message["number"], message["value"])
    return {}


def serve():
    """Answers line by line until standard input ends."""
    out = sys.stdout
    sys.stdout = sys.stderr  # what libraries print
    state = {}
    for line in sys.stdin:
        try:
            found = answer(state, json.loads(line))
        except Exception as error:
            found = {"error": f"{type(error).__name__}: {error}"[:500]}
        out.write(json.dumps({**found, "cpu": time.process_time()}) + "\n")
        out.flush()


if __name__ == "__main__":
    serve()
