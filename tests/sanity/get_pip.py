"""Puts pip into the virtual environment of ansible-test from the standard library and the configured index.

ansible-test would download a script for that from a host that is not reachable everywhere.
"""

import subprocess
import sys

subprocess.run([sys.executable, "-m", "ensurepip", "--default-pip"], check=True)
# What remains besides pip's own options are two options of that script.
wanted = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
subprocess.run([sys.executable, "-m", "pip", "install", *wanted], check=True)
