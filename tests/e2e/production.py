# SPDX-License-Identifier: Apache-2.0
"""Runs the commands of README.md, "In production", for real, and looks whether touchlog then works.

test_production.py starts it as root in namespaces of its own (mounts, network, processes):
what it writes to the system stands in memory and is gone at the end.  There is no systemd in
there: Systemctl is a stand-in that reads the installed units."""
import fcntl, glob, grp, json, os, pwd, re, shlex, signal, socket, struct, subprocess, sys

import harness
import service

WRITABLE = ("/etc", "/usr", "/var")


def sh(command, **more):
    print("$", command, flush=True)
    subprocess.run(["bash", "-euo", "pipefail", "-c", command], check=True, stdin=subprocess.DEVNULL, **more)


# ---- the stage ----

def overlay(memory, path):
    for name in ("u", "w"):
        os.makedirs(f"{memory}{path}/{name}")
    sh(f"mount -t overlay overlay -o lowerdir={path},upperdir={memory}{path}/u,workdir={memory}{path}/w {path}")


def set_the_stage(source):
    """The system, to be written to without consequences: mounts are private, and what is written stays in memory."""
    memory = "/srv" if source.startswith("/mnt/") else "/mnt"
    sh(f"mount -t tmpfs tmpfs {memory}")
    for path in WRITABLE:
        overlay(memory, path)
    if not source.startswith(tuple(path + "/" for path in WRITABLE)):
        overlay(memory, source)
    sh("mount -t proc proc /proc")
    sh("mount -t tmpfs -o mode=755 tmpfs /run")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:      # ip link set lo up
        fcntl.ioctl(s, 0x8914, struct.pack("16sh", b"lo", 0x1 | 0x40))
    os.chdir(source)


def start_postgresql():
    """Debian's own way to a cluster, whatever stands there already; who a process is, is who it logs in as."""
    version = max(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda p: int(p.split("/")[4])).split("/")[4]
    sh("rm -rf /etc/postgresql /var/lib/postgresql/*")
    sh("install -d -o postgres -g postgres -m 2775 /run/postgresql")
    sh(f"pg_createcluster {version} main -- -E UTF8 --locale=C.UTF-8 >/dev/null && pg_ctlcluster --skip-systemctl-redirect {version} main start")


# ---- the stand-in for systemd ----

def read_unit(name):
    """{key: [value, ...]} of the unit that `make install` installed."""
    path, = [p for p in (f"{d}/systemd/system/{name}" for d in ("/lib", "/usr/local/lib")) if os.path.exists(p)]
    unit = {}
    with open(path) as f:
        for line in f:
            if m := re.match(r"(\w+)=(.*)", line):
                unit.setdefault(m[1], []).append(m[2])
    return unit


class Systemctl:
    def __init__(self):
        os.makedirs("/run/systemd")
        self.manager, self.p, self.err = service.Manager("/run/systemd"), None, open("/run/touchlogd.log", "ab")

    def run(self, words):
        {"daemon-reload": lambda: None, "enable": self.enable, "reload": self.reload, "restart": self.restart}[words[1]](*words[2:])

    def enable(self, now, *units):
        assert now == "--now" and units == ("touchlogd.socket", "touchlogd.service"), units
        sh(f"systemctl --root=/ enable {' '.join(units)}")     # the genuine one, for [Install]
        for target, unit in (("sockets", units[0]), ("multi-user", units[1])):
            assert os.path.islink(f"/etc/systemd/system/{target}.target.wants/{unit}"), unit
        socket_unit = read_unit(units[0])
        name, = socket_unit["FileDescriptorName"]
        for stream in socket_unit["ListenStream"]:
            host, port = stream.rsplit(":", 1)
            self.manager.listen(name, (host, int(port)))
        self.start()

    def as_user(self, command, **more):
        """Runs a command of the unit as its user; returns the process."""
        user = pwd.getpwnam(read_unit("touchlogd.service")["User"][0])
        return subprocess.Popen(command, user=user.pw_uid, group=user.pw_gid, extra_groups=[], cwd="/", stdin=subprocess.DEVNULL,
                                umask=0o077, **more)

    def start(self):
        unit = read_unit("touchlogd.service")
        assert unit["Type"] == ["notify"]
        n = len(self.manager.all("READY"))
        os.chmod(self.manager.path, 0o666)
        fds, script, env = service.passing(self.manager, shlex.split(unit["ExecStart"][0]))
        env.update(PATH=os.environ["PATH"], NOTIFY_SOCKET=self.manager.path,
                   WATCHDOG_USEC=str(int(unit["WatchdogSec"][0]) * 1000000))
        self.p = self.as_user(script, env=env, pass_fds=fds, stdout=self.err, stderr=self.err)
        self.manager.until("READY", after=n)

    def stop(self):
        self.p.send_signal(signal.SIGTERM)
        assert self.p.wait(harness.STOP_WITHIN_S) == 0

    def restart(self, name):
        assert name == "touchlogd"
        self.stop()
        self.start()

    def reload(self, name):
        assert name == "touchlogd"
        n = len(self.manager.all("READY"))
        for command in read_unit("touchlogd.service")["ExecReload"]:
            done = self.as_user(shlex.split(command.replace("$MAINPID", str(self.p.pid))), stderr=subprocess.PIPE, text=True)
            _, err = done.communicate()
            assert done.returncode == 0, err
        self.manager.until("READY", after=n)


# ---- the text ----

def commands(readme):
    """The indented lines of the section, in order."""
    with open(readme) as f:
        section = re.search(r"^## In production\n(.*?)^## ", f.read(), re.M | re.S)[1]
    found = [line[4:] for line in section.splitlines() if line.startswith("    ")]
    assert len(found) > 10, found
    return found


def run_all(lines, systemctl):
    """All in one shell, as somebody would who types them, but for what only systemd can do."""
    shell, ran = [], []
    for line in lines:
        steps = [step.strip() for step in line.split("&&")]
        if not any(step.startswith("systemctl") for step in steps):
            shell.append(line)
            continue
        for step in steps:
            if not step.startswith("systemctl"):
                shell.append(step)
                continue
            if shell:
                sh("\n".join(shell))
            shell = []
            systemctl.run(shlex.split(step))
            print("$", step, flush=True)
            ran.append(step)
    if shell:
        sh("\n".join(shell))
    return ran


# ---- does it work? ----

def post(event):
    with open("/etc/touchlog/callcenter.key") as f:
        token = f.read().strip()
    return harness.request(8080, "POST", "/in/callcenter", json.dumps(event),
                           {"Content-Type": "application/json", "Authorization": f"Bearer {token}"})


def sql(statement):
    return subprocess.run(["runuser", "-u", "postgres", "--", "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", "touchlog", "-c", statement],
                          check=True, capture_output=True, text=True, cwd="/").stdout.strip()


def check_that_it_logs(n):
    a = post({"external_id": f"call-{n}", "kind": "call", "phone": "06 2143 6587"})
    assert a.status == 200 and a.json()["status"] == "logged", a
    assert sql(f"SELECT source || ' ' || kind FROM touchlog.interaction WHERE external_id = 'call-{n}'") == "callcenter call"


def check_who_may_read_what(systemctl):
    uid, gid = pwd.getpwnam("touchlog").pw_uid, grp.getgrnam("touchlog").gr_gid
    assert os.stat(f"/proc/{systemctl.p.pid}").st_uid == uid != 0
    for path in ("/etc/touchlog/touchlog.yaml", "/etc/touchlog/stripe.key"):
        st = os.stat(path)
        assert (st.st_mode & 0o7777, st.st_uid, st.st_gid) == (0o640, 0, gid), (path, oct(st.st_mode))
    assert os.stat("/var/lib/touchlog").st_uid == uid
    assert sql("SELECT usename FROM pg_stat_activity WHERE application_name = 'touchlogd writer' LIMIT 1") == "touchlog"


def main(source):
    set_the_stage(source)
    start_postgresql()
    systemctl = Systemctl()
    try:
        ran = run_all(commands(os.path.join(source, "README.md")), systemctl)
        assert [step.split()[1] for step in ran] == ["daemon-reload", "enable", "reload", "restart"], ran
        check_that_it_logs(1)
        check_who_may_read_what(systemctl)
        with open("/etc/touchlog/touchlog.yaml", "a") as f:
            f.write("nonsense: 1\n")
        try:
            systemctl.reload("touchlogd")
        except AssertionError as e:
            assert "nonsense" in str(e), e
        else:
            raise AssertionError("a broken configuration was taken over")
        check_that_it_logs(2)
        systemctl.stop()
        print("IT WORKS", flush=True)
    finally:
        with open("/run/touchlogd.log") as f:
            print(f.read()[-3000:], flush=True)
        systemctl.manager.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
