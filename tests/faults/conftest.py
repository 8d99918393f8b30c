# SPDX-License-Identifier: Apache-2.0
"""Fixtures and options of the drills: those of the end-to-end tests, --long, and the counts in the summary."""
import importlib.util, os, sys

import pytest

E2E = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
sys.path.insert(0, E2E)

import drills
import harness

spec = importlib.util.spec_from_file_location("e2e_conftest", os.path.join(E2E, "conftest.py"))
e2e = importlib.util.module_from_spec(spec)
spec.loader.exec_module(e2e)
cluster, database, daemon = e2e.cluster, e2e.database, e2e.daemon

told = []       # what the drills counted: (name, text)


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="the drills ten times longer")


@pytest.fixture(scope="session")
def size(request):
    """size(short, long): which of the two."""
    return lambda short, long: long if request.config.getoption("--long") else short


@pytest.fixture
def tell(request):
    """tell(name=value, ...): the drill's counts, for the summary; they are there although it fails."""
    def tell(**counts):
        text = " ".join(f"{k}={v}" for k, v in counts.items())
        told.append((request.node.name, text))
        print(text)
    return tell


def pytest_terminal_summary(terminalreporter):
    if told:
        terminalreporter.section("what the drills counted")
        for name, text in told:
            terminalreporter.write_line(f"{name}: {text}")


@pytest.fixture(scope="session")
def mortal_cluster(tmp_path_factory):
    """A PostgreSQL that drills may stop, which listens on a port of 127.0.0.1 too."""
    with harness.migrated_cluster(tmp_path_factory.mktemp("mortal"), listen_addresses="127.0.0.1", port=drills.port()) as c:
        yield c


@pytest.fixture
def mortal(mortal_cluster):
    """A fresh, migrated database in it."""
    mortal_cluster.start()      # a drill that failed may have left it stopped
    db = mortal_cluster.fresh()
    yield db
    mortal_cluster.start()
    db.drop()


@pytest.fixture
def sender(tmp_path):
    """sender(daemon, source, **options) starts a drills.Sender; what still runs at the end is killed."""
    started = []

    def start(*args, **more):
        started.append(drills.Sender(tmp_path, *args, **more))
        return started[-1]

    yield start
    for s in started:
        s.kill()
