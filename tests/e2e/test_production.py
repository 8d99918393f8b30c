# SPDX-License-Identifier: Apache-2.0
"""The production steps of README.md, run as they stand there.  See production.py."""
import os, subprocess, sys

import pytest

import harness

UNSHARE = ["unshare", "--mount", "--propagation", "private", "--net", "--pid", "--fork", "--kill-child"]


def test_the_production_steps_of_the_readme_lead_to_a_service_that_logs():
    if os.getuid() != 0:
        pytest.skip("only root can run the steps")
    if subprocess.run([*UNSHARE, "true"], capture_output=True).returncode != 0:
        pytest.skip("this machine gives no namespaces")
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS") and not k.lower().endswith("_proxy")}
    done = subprocess.run([*UNSHARE, sys.executable, os.path.join(harness.HERE, "production.py"), harness.SOURCE],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900, env=env)
    assert done.returncode == 0 and "IT WORKS" in done.stdout, done.stdout[-6000:] + done.stderr[-6000:]
