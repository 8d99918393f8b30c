# SPDX-License-Identifier: Apache-2.0
"""A small stand-in for systemd: it hears what a service tells (NOTIFY_SOCKET), watches over it
(WATCHDOG_USEC) and hands sockets to it (LISTEN_FDS), as touchlogd.service and touchlogd.socket would."""
import fcntl, os, socket, subprocess, threading, time

import harness

BACKLOG = 4096


class Manager:
    """Listens for what is told.  `told` has all of it, in order: (when, {"READY": "1", ...})."""

    def __init__(self, directory):
        self.path = os.path.join(str(directory), "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.told, self.sockets = [], []
        self.thread = threading.Thread(target=self._hear)
        self.thread.start()

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join(harness.DEADLINE_S)
        self.socket.close()
        for _, s in self.sockets:
            s.close()

    def _hear(self):
        while text := self.socket.recv(65536).decode():
            self.told.append((time.monotonic(), dict(line.split("=", 1) for line in text.splitlines())))

    def all(self, name):
        """The values that were told under this name."""
        return [told[name] for _, told in self.told if name in told]

    def until(self, name, fits=lambda value: True, after=0, deadline_s=harness.DEADLINE_S):
        """The first such value, of all() behind the first `after`."""
        return harness.until(lambda: [v for v in self.all(name)[after:] if fits(v)],
                             f"{name} is told; so far {self.told[-5:]}", deadline_s)[0]

    def listen(self, name, address=("127.0.0.1", 0), family=socket.AF_INET, kind=socket.SOCK_STREAM):
        """Opens a socket that is passed under this name; returns its port."""
        s = socket.socket(family, kind)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(address)
        if kind == socket.SOCK_STREAM:
            s.listen(BACKLOG)
        self.sockets.append((name, s))
        return s.getsockname()[1] if family in (socket.AF_INET, socket.AF_INET6) else None


def passing(manager, command):
    """What runs the command with the manager's sockets as descriptors 3, 4, ...: (descriptors to pass, command,
    environment).  LISTEN_PID is the program's own, so a shell sets it."""
    fds = [fcntl.fcntl(s.fileno(), fcntl.F_DUPFD, 100) for _, s in manager.sockets]
    moved = " ".join(f"{3 + i}<&{fd} {fd}<&-" for i, fd in enumerate(fds))
    env = {"LISTEN_FDS": str(len(fds)), "LISTEN_FDNAMES": ":".join(n for n, _ in manager.sockets)} if fds else {}
    return fds, ["bash", "-c", f'exec {moved}; LISTEN_PID=$$ exec "$@"', "bash", *command], env


class Service(harness.Daemon):
    """touchlogd, started by a Manager."""

    def __init__(self, manager, *args, watchdog_ms=None, **more):
        super().__init__(*args, **more)
        self.manager = manager
        self.env["NOTIFY_SOCKET"] = manager.path
        if watchdog_ms:
            self.env["WATCHDOG_USEC"] = str(watchdog_ms * 1000)

    def spawn(self, err):
        fds, command, env = passing(self.manager, [harness.program("touchlogd"), "-c", self.config])
        try:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=err, stderr=err, env={**self.env, **env}, pass_fds=fds)
        finally:
            for fd in fds:
                os.close(fd)
