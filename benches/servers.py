"""Servers for the benchmarks: started on free ports, pinned to a core, stopped at the end."""

import atexit
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REDIS = os.environ.get("REDIS_TASK_SERVER") or shutil.which("redis-server") or str(ROOT / ".servers/redis-server")
MODULE = os.environ.get("REDIS_TASK_MODULE", str(ROOT / "target/release/libredis_task.so"))
BEANSTALKD = shutil.which("beanstalkd") or str(ROOT / ".servers/beanstalkd/usr/bin/beanstalkd")
SERVER_CORE, LOAD_CORE = 0, 1
PLAIN = [REDIS, "--bind", "127.0.0.1", "--save", "", "--maxclients", "12000", "--daemonize", "no"]
AOF = ["--appendonly", "yes", "--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0"]

# What a server is started with; {port} and {dir} are filled in.
KINDS = {
    "redis": [*PLAIN, "--port", "{port}", "--dir", "{dir}"],
    "redis+aof": [*PLAIN, "--port", "{port}", "--dir", "{dir}", *AOF],
    "module": [*PLAIN, "--port", "{port}", "--dir", "{dir}", "--loadmodule", MODULE],
    "module+aof": [*PLAIN, "--port", "{port}", "--dir", "{dir}", *AOF, "--loadmodule", MODULE],
    # Finished tasks are dropped while the benchmark runs, so that it pays for that too.
    "module+drop": [*PLAIN, "--port", "{port}", "--dir", "{dir}", "--loadmodule", MODULE, "task.retain", "200"],
    "beanstalkd": [BEANSTALKD, "-l", "127.0.0.1", "-p", "{port}"],
}


def pin(core, realtime=False):
    """For a child process: runs on this core only; `realtime`: before everything else there, where that is allowed."""

    def set_up():
        os.sched_setaffinity(0, {core})
        if realtime:
            try:
                os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
            except PermissionError:
                pass

    return set_up


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    def __init__(self, kind, wrap=(), folder=None, realtime=False, extra=()):
        self.kind, self.port = kind, free_port()
        self.folder = folder or tempfile.mkdtemp(prefix="redis-task-bench-")
        command = [word.format(port=self.port, dir=self.folder) for word in [*wrap, *KINDS[kind]]] + list(extra)
        self.log_path = Path(self.folder, "log")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.folder, preexec_fn=pin(SERVER_CORE, realtime)
            )
        self.pid = self.process.pid
        atexit.register(self.stop)
        self.wait_until_ready()

    def wait_until_ready(self):
        for _ in range(1200):
            if self.process.poll() is not None:
                break
            try:
                if self.kind == "beanstalkd":
                    socket.create_connection(("127.0.0.1", self.port), 1).close()
                else:
                    self.say("PING")  # an error while it loads
                return
            except (OSError, RuntimeError):
                pass
            time.sleep(0.05)
        raise SystemExit(f"{self.kind} did not start:\n{self.log()}")

    def log(self):
        return self.log_path.read_text(errors="replace")

    def say(self, *words):
        """Says one command of RESP and answers what came back: bytes, an int, a list or None. Errors are raised."""
        if len(words) == 1:
            words = words[0].split()
        with socket.create_connection(("127.0.0.1", self.port), 120) as link:
            link.sendall(encode(words))
            with link.makefile("rb") as stream:
                return read_reply(stream)

    def info(self, section):
        lines = self.say("INFO", section).decode(errors="replace").splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def cpu_us(self):
        """utime and stime, which the kernel counts in ticks."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) * 1e6 / os.sysconf("SC_CLK_TCK")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def clean(self):
        self.stop()
        atexit.unregister(self.stop)
        shutil.rmtree(self.folder, ignore_errors=True)


def to_bytes(word):
    return word if isinstance(word, bytes) else str(word).encode()


class Link:
    """A connection that stays open."""

    def __init__(self, server):
        self.socket = socket.create_connection(("127.0.0.1", server.port), 120)
        self.stream = self.socket.makefile("rb")

    def say(self, *words):
        self.socket.sendall(encode(words))
        return read_reply(self.stream)


def encode(words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in map(to_bytes, words))


def read_reply(stream):
    line = stream.readline()
    if not line:
        raise ConnectionError("the server closed the connection")
    kind, rest = line[:1], line[1:-2]
    if kind == b"-":
        raise RuntimeError(rest.decode(errors="replace"))
    if kind == b":":
        return int(rest)
    if kind == b"$":
        return None if rest == b"-1" else stream.read(int(rest) + 2)[:-2]
    if kind == b"*":
        return None if rest == b"-1" else [read_reply(stream) for _ in range(int(rest))]
    return rest
