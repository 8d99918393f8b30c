# SPDX-License-Identifier: Apache-2.0
"""A unix socket in front of PostgreSQL's that knows the messages of its protocol, and cuts or holds a connection after
the one that the drill names."""
import os, socket, struct, threading

import harness

DIRECTIONS = ("to server", "to client")


class Proxied:
    """One connection through the proxy."""

    def __init__(self, proxy, client):
        self.proxy, self.client = proxy, client
        self.server = socket.socket(socket.AF_UNIX)
        self.is_held = self.is_watched = False

    def start(self):
        try:
            self.server.connect(self.proxy.target)
        except OSError:
            self.close()
            return
        for direction, here, there in (("to server", self.client, self.server), ("to client", self.server, self.client)):
            threading.Thread(target=self.pump, args=(direction, here, there), daemon=True).start()

    def close(self):
        for s in (self.client, self.server):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass        # the other end was faster
            s.close()

    def pump(self, direction, here, there):
        """What comes in while the connection is held is dropped; its end is passed on."""
        waiting, has_type = b"", direction == "to client"
        try:
            while (data := here.recv(1 << 16)):
                waiting += data
                while (message := whole_message(waiting, has_type)):
                    waiting = waiting[len(message):]
                    if has_type:
                        self.pass_on(direction, there, message)
                    else:       # the startup packet
                        self.is_watched = self.proxy.role in message
                        has_type = True
                        there.sendall(message)
        except OSError:
            pass        # cut, by one side or the other
        self.close()

    def pass_on(self, direction, there, message):
        if self.is_held:
            return
        there.sendall(message)
        how = self.proxy.judge(direction, message) if self.is_watched else None
        if how == "hold":
            self.is_held = True
        elif how == "cut":
            self.close()


def whole_message(data, has_type):
    """The first message of these bytes; nothing while it is not whole."""
    head = int(has_type)
    if len(data) < head + 4:
        return b""
    (length,) = struct.unpack("!I", data[head:head + 4])
    return data[:head + length] if len(data) >= head + length else b""


class Proxy:
    """`with Proxy(directory, cluster) as p:` p.path is the host for a conninfo.

    arm("to server", 3) cuts the first connection of that role (writer, dispatcher), both ways, once its third message from
    now on has passed; arm(..., how="hold") lets nothing pass from then on, and keeps it open.  block() cuts all and lets
    nobody connect until unblock().
    """

    def __init__(self, directory, cluster, role="writer"):
        self.path, self.target = str(directory), os.path.join(cluster.path, ".s.PGSQL.5432")
        self.role, self.is_blocked = f"touchlogd {role}\0".encode(), False
        self.lock, self.rule, self.seen = threading.Lock(), None, []
        self.connections = []

    def __enter__(self):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.path.join(self.path, ".s.PGSQL.5432"))
        self.listener.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for c in self.connections:
            c.close()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(Proxied(self, client))
            if self.is_blocked:
                self.connections[-1].close()
            else:
                self.connections[-1].start()

    def block(self):
        self.is_blocked = True
        for c in self.connections:
            c.close()

    def unblock(self):
        self.is_blocked = False

    def through(self, database, config):
        """The configuration of a daemon that connects here."""
        conninfo = f"host={self.path} port=5432 dbname={database.name} user={harness.DAEMON_ROLE}"
        return {**config, "database": {**config.get("database", {}), "conninfo": conninfo}}

    def arm(self, direction, n, how="cut"):
        with self.lock:
            self.rule, self.seen, self.has_fired = (direction, n, how), [], threading.Event()

    def judge(self, direction, message):
        """What is to be done after this message."""
        with self.lock:
            if self.rule is None or self.rule[0] != direction:
                return None
            self.seen.append(chr(message[0]))
            if len(self.seen) < self.rule[1]:
                return None
            how, self.rule = self.rule[2], None
            self.has_fired.set()
            return how
