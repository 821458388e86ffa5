"""clothseg-run: `python -m clothseg` and the program of that name are the same."""

from __future__ import annotations

import os
import signal
import sys

from clothseg import _clothseg, _library


def main() -> None:
    """Runs clothseg-run with the arguments of this process and ends it."""
    # Python's own handling waits for Python code, of which there is none until the end.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    library = _library.find()
    if library is not None:
        os.environ["ORT_DYLIB_PATH"] = library
    sys.stdout.flush()
    sys.exit(_clothseg.run_program(["clothseg-run", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
