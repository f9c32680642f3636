"""Whether a policy process serves, for a container's health check: `python -m tidegate.demo.ready HOST:PORT`."""

from __future__ import annotations

import sys

from tidegate.demo.stack import serving

if __name__ == "__main__":
    sys.exit(0 if serving(sys.argv[1]) else 1)
