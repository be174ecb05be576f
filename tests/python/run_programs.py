"""Runs training programs, unchanged, one after another in one process, so that a framework is imported once.

usage: run_programs.py PROGRAM JOBS.json
JOBS: [{"folder": …, "arguments": […]}, …]. Prints a JSON list: what each program printed.
"""

import contextlib
import io
import json
import os
import runpy
import sys


def run(program, folder, arguments):
    os.chdir(folder)
    sys.argv = [program, *arguments]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        runpy.run_path(program, run_name="__main__")
    if "keras" in sys.modules:
        sys.modules["keras"].config.set_floatx("float32")  # a program may have asked for another
    return printed.getvalue()


if __name__ == "__main__":
    program, jobs = sys.argv[1:3]
    with open(jobs) as file:
        outputs = [run(program, job["folder"], job["arguments"]) for job in json.load(file)]
    print(json.dumps(outputs))
