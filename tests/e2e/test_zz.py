import pytest, harness, http.client
def test_loop(database, tmp_path):
    for i in range(150):
        d = harness.Daemon(database, {}, tmp_path)
        try:
            d.start()
        except http.client.RemoteDisconnected:
            print(d.stderr()); print(d.p.poll()); raise
        d.stop()
