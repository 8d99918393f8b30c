# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the end-to-end tests: a PostgreSQL for the session, a database for each test, daemons."""
import pytest

import harness


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """One private PostgreSQL with a migrated template.  Tests that stop it make their own."""
    with harness.migrated_cluster(tmp_path_factory.mktemp("pg")) as c:
        yield c


@pytest.fixture
def database(cluster):
    """A fresh, migrated database."""
    db = cluster.fresh()
    yield db
    db.drop()


@pytest.fixture
def daemon(database, tmp_path):
    """daemon(sources={...}, **more) starts touchlogd on `database` with this configuration, as often as
    wanted; at the end of the test each that runs is stopped and its clean end demanded."""
    started = []

    def start(config=None, /, ready=True, env=None, database=database, **more):
        d = harness.Daemon(database, config if config is not None else more, tmp_path, ready, env)
        started.append(d)
        return d.start()

    yield start
    problems = []
    for d in started:
        try:
            d.stop()
        except AssertionError as e:
            problems.append(e)
        d.kill()
    if problems:
        raise problems[0]
