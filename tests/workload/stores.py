#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Real stores of our own (Redis, PostgreSQL, MariaDB, memcached): private ports, a temporary directory, nothing of the
host's touched. Redis and MariaDB take clients with TLS, too, PostgreSQL once it was asked to offer_tls().

As a module: `with Stores() as s:`, then s.redis_port, s.pg_port, s.socket_dir, s.arguments() for the runner, and
s.pause_redis(), s.lock_postgres() and their opposites. As a program: prints a JSON line when ready, takes
`pause redis`, `resume redis`, `lock postgres`, `unlock postgres`, `quit` on stdin.
"""
import contextlib
import glob
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import psycopg2
import redis

from children import popen

START_S = 30  # a busy machine's initdb and first start
PG_USER = "bench"
TABLE = ("CREATE TABLE memory (id bigserial PRIMARY KEY, session text NOT NULL, turn int NOT NULL, body text NOT NULL);"
         "CREATE INDEX ON memory (session, turn);"
         "CREATE TABLE notes (id text PRIMARY KEY, body text)")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def pg_program(name):
    found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}")) or [shutil.which(name)]
    if not found[-1]:
        raise FileNotFoundError(f"{name}: PostgreSQL's server is not installed")
    return found[-1]


def unprivileged():
    """The user to run PostgreSQL as: it refuses root. None when we are not root."""
    if os.geteuid():
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise RuntimeError("no user 'postgres' or 'nobody' to run PostgreSQL as")


def certificate(directory, user=None):
    """cert.pem, which is its own authority, and key.pem for a server on this host run by user."""
    os.mkdir(directory)
    os.chmod(directory, 0o755)
    key, cert = (os.path.join(directory, name) for name in ("key.pem", "cert.pem"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                    key, "-out", cert, "-days", "1", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
    if user:
        shutil.chown(key, user)
    return cert, key


class Stores:
    def __init__(self, use=("redis", "postgres")):
        self.use = use
        self.redis = self.postgres = self.mariadb = self.memcached = self.locker = self.directory = None

    def __enter__(self):
        self.directory = tempfile.mkdtemp(prefix="stores-")
        os.chmod(self.directory, 0o755)
        try:
            if "redis" in self.use:
                self.start_redis()
            if "postgres" in self.use:
                self.start_postgres()
            if "mariadb" in self.use:
                self.start_mariadb()
            if "memcached" in self.use:
                self.start_memcached()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.unlock_postgres()
        for process, signo in ((self.redis, signal.SIGKILL), (self.postgres, signal.SIGQUIT),
                               (self.mariadb, signal.SIGKILL), (self.memcached, signal.SIGKILL)):
            if process and process.poll() is None:
                process.send_signal(signo)
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        self.redis = self.postgres = self.mariadb = self.memcached = None
        if self.directory:
            shutil.rmtree(self.directory, ignore_errors=True)

    def arguments(self):
        """What the runner is told."""
        out = ["--storage", ",".join(self.use)]
        if self.redis:
            out += ["--redis", f"127.0.0.1:{self.redis_port}"]
        if self.postgres:
            out += ["--postgres", f"127.0.0.1:{self.pg_port}"]
        return out

    # ------------------------------------------------------------ Redis

    def start_redis(self):
        self.redis_port, self.redis_tls_port = free_port(), free_port()
        self.redis_ca, key = certificate(os.path.join(self.directory, "redis-tls"))
        self.redis_socket = os.path.join(self.directory, "redis.sock")
        with open(os.path.join(self.directory, "redis.log"), "wb") as log:
            self.redis = popen(["redis-server", "--port", self.redis_port, "--bind", "127.0.0.1", "--save", "",
                                "--appendonly", "no", "--dir", self.directory, "--daemonize", "no",
                                "--unixsocket", self.redis_socket, "--tls-port", self.redis_tls_port,
                                "--tls-cert-file", self.redis_ca, "--tls-key-file", key,
                                "--tls-auth-clients", "no"],
                               stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        client = redis.Redis(port=self.redis_port)
        self.wait_ready(self.redis, client.ping, redis.exceptions.ConnectionError, "redis.log")
        client.close()

    def pause_redis(self):
        """Redis stays connected and answers nothing."""
        os.kill(self.redis.pid, signal.SIGSTOP)

    def resume_redis(self):
        os.kill(self.redis.pid, signal.SIGCONT)

    # ------------------------------------------------------------ PostgreSQL

    def start_postgres(self):
        user = unprivileged()
        self.pg_port = free_port()
        self.pg_ca, key = certificate(os.path.join(self.directory, "pg-tls"), user)
        self.socket_dir = os.path.join(self.directory, "pg-socket")
        data = os.path.join(self.directory, "pg")
        for path in (self.socket_dir, data):
            os.mkdir(path)
            if user:
                shutil.chown(path, user, user)
            os.chmod(path, 0o755 if path == self.socket_dir else 0o700)
        with open(os.path.join(self.directory, "postgres.log"), "wb") as log:
            initdb = popen([pg_program("initdb"), "-D", data, "-U", PG_USER, "-A", "trust", "-E", "UTF8",
                            "--locale=C", "--no-sync"], user=user, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                           cwd=self.directory)
            if initdb.wait(START_S * 2):
                raise RuntimeError("initdb failed:\n" + self.log_tail("postgres.log"))
            settings = {"port": self.pg_port, "listen_addresses": "127.0.0.1", "fsync": "off",
                        "unix_socket_directories": self.socket_dir, "max_connections": "300",
                        "ssl_cert_file": self.pg_ca, "ssl_key_file": key,
                        "shared_buffers": "16MB", "autovacuum": "off"}
            self.postgres = popen([pg_program("postgres"), "-D", data,
                                   *(a for k, v in settings.items() for a in ("-c", f"{k}={v}"))],
                                  death="QUIT", user=user, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                  cwd=self.directory)

        def ready():
            with contextlib.closing(self.connect()) as conn, conn.cursor() as cursor:
                cursor.execute(TABLE)
        self.wait_ready(self.postgres, ready, psycopg2.OperationalError, "postgres.log")

    def connect(self, autocommit=True):
        conn = psycopg2.connect(host="127.0.0.1", port=self.pg_port, user=PG_USER, dbname="postgres")
        conn.autocommit = autocommit
        return conn

    def offer_tls(self, offer=True):
        """Whether PostgreSQL's new connections may use TLS; clients prefer it."""
        with contextlib.closing(self.connect()) as conn, conn.cursor() as cursor:
            cursor.execute(f"ALTER SYSTEM SET ssl = {'on' if offer else 'off'}")
            cursor.execute("SELECT pg_reload_conf()")

        def settled():
            with contextlib.closing(self.connect()) as conn:
                if conn.info.ssl_in_use != offer:
                    raise psycopg2.OperationalError
        self.wait_ready(self.postgres, settled, psycopg2.OperationalError, "postgres.log")

    def lock_postgres(self):
        """Every statement on the table waits from now on."""
        self.locker = self.connect(autocommit=False)
        self.locker.cursor().execute("LOCK TABLE memory IN ACCESS EXCLUSIVE MODE")

    def unlock_postgres(self):
        if self.locker:
            with contextlib.suppress(psycopg2.Error):
                self.locker.close()
        self.locker = None

    # ------------------------------------------------------------ MariaDB, memcached

    def start_mariadb(self):
        import pymysql
        user = "mysql" if not os.geteuid() else pwd.getpwuid(os.geteuid()).pw_name
        home, self.mariadb_port = os.path.join(self.directory, "mariadb"), free_port()
        data, self.mariadb_socket = os.path.join(home, "data"), os.path.join(home, "mysqld.sock")
        os.mkdir(home)
        shutil.chown(home, user)
        self.mariadb_ca, key = certificate(os.path.join(self.directory, "mariadb-tls"), user)
        common = ["--no-defaults", f"--user={user}", f"--datadir={data}"]
        with open(os.path.join(self.directory, "mariadb.log"), "wb") as log:
            made = popen(["mariadb-install-db", *common, "--auth-root-authentication-method=normal", "--skip-test-db"],
                         stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            if made.wait(START_S * 4):
                raise RuntimeError("mariadb-install-db failed:\n" + self.log_tail("mariadb.log"))
            self.mariadb = popen(["mariadbd", *common, f"--socket={self.mariadb_socket}", f"--port={self.mariadb_port}",
                                  "--bind-address=127.0.0.1", "--innodb-buffer-pool-size=16M",
                                  "--innodb-flush-log-at-trx-commit=0", "--max-connections=400",
                                  f"--ssl-cert={self.mariadb_ca}", f"--ssl-key={key}"],
                                 stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def ready():
            with contextlib.closing(pymysql.connect(unix_socket=self.mariadb_socket, user="root")) as conn:
                for statement in ("CREATE DATABASE bench", "CREATE TABLE bench.memory (id VARCHAR(40) PRIMARY KEY, "
                                  "body TEXT)", "CREATE USER bench", "GRANT ALL ON bench.* TO bench"):
                    conn.cursor().execute(statement)
        self.wait_ready(self.mariadb, ready, pymysql.err.OperationalError, "mariadb.log")

    def start_memcached(self):
        self.memcached_port = free_port()
        with open(os.path.join(self.directory, "memcached.log"), "wb") as log:
            self.memcached = popen(["memcached", "-l", "127.0.0.1", "-p", self.memcached_port,
                                    *(["-u", "nobody"] if not os.geteuid() else [])],
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.wait_ready(self.memcached, lambda: socket.create_connection(("127.0.0.1", self.memcached_port)).close(),
                        OSError, "memcached.log")

    # ------------------------------------------------------------ all

    def log_tail(self, name):
        with open(os.path.join(self.directory, name), errors="replace") as f:
            return f.read()[-2000:]

    def wait_ready(self, process, attempt, not_yet, log):
        """Servers say nowhere a program could wait for that they are ready: ask until they answer."""
        deadline = time.monotonic() + START_S
        while True:
            try:
                return attempt()
            except not_yet:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("does not start:\n" + self.log_tail(log)) from None
                time.sleep(0.02)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with Stores() as stores:
        print(json.dumps({"redis": stores.redis_port, "postgres": stores.pg_port, "socket_dir": stores.socket_dir,
                          "redis_pid": stores.redis.pid, "arguments": stores.arguments()}), flush=True)
        verbs = {"pause redis": stores.pause_redis, "resume redis": stores.resume_redis,
                 "lock postgres": stores.lock_postgres, "unlock postgres": stores.unlock_postgres}
        for line in sys.stdin:
            if line.strip() == "quit":
                break
            if line.strip() in verbs:
                verbs[line.strip()]()
                print(json.dumps({"done": line.strip()}), flush=True)
            else:
                print(json.dumps({"unknown": line.strip(), "known": sorted(verbs)}), flush=True)


if __name__ == "__main__":
    main()
