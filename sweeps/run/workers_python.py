"""The Python of Ray's workers, where a shell would not read its path as one word."""

import shlex
import sys
from typing import Any


def environment() -> dict[str, Any]:
    """Ray's `runtime_env` for a cluster on this machine: empty where the path is a plain word.

    A worker that has settings of its own, as Tune's have, is started by `bash -c "exec PYTHON ..."` with
    the path as it stands, and dies at a blank or a quote: in a clone under such a path, every trial.
    """
    quoted = shlex.quote(sys.executable)
    return {} if quoted == sys.executable else {"py_executable": quoted}
