"""A wall clock that is off: every Python that finds this first reads the seconds to add from the file `LOAD_CLOCK`.

On PYTHONPATH, so that it reaches the workers through their supervisor, and all that asks `time.time` in them.
"""

import mmap
import os
import struct
import time
from pathlib import Path

with Path(os.environ["LOAD_CLOCK"]).open("rb") as _file:
    _seconds = mmap.mmap(_file.fileno(), 8, access=mmap.ACCESS_READ)
_true = time.time
time.time = lambda: _true() + struct.unpack("d", _seconds[:8])[0]
