"""Runs 500 cells, half of them against servers that misbehave, and says what became of the good half.

Everything is on loopback. The servers live in a process of their own, so that their work isn't edgewatch's.
"""

import asyncio
import glob
import gzip
import itertools
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request

EGRESSES = 5
CLIENTS = 5
GOOD_PROBES = 10
GOOD_EVERY = 5
HOSTILE_EVERY = 10

SILENT = b""
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def body(kind, content, more=b"", status=b"200 OK"):
    head = b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n%s\r\n" % (status, kind, len(content), more)
    return head + content


def nested(levels, names):
    """XML whose elements declare namespaces within those of all around them."""
    opened = b"".join(
        b"<a" + b"".join(b" xmlns:n%dx%d='u'" % (level, n) for n in range(names)) + b">" for level in range(levels)
    )
    return opened + b"<x/>" + b"</a>" * levels


BOMB = gzip.compress(b"\0" * 50_000_000)
XML = nested(24, 150)
JSON = b'{"a":' * 110 + b"1" + b"}" * 110
WIDE = b"<html>" + b"<p class='row'>An ordinary paragraph, denied &amp; blocked.</p>" * 4000

# What each says: once, and then again and again with pauses between.
HOSTILE = {
    "tarpit": (SILENT, None, 0),
    "drip": (b"HTTP/1.1 200 OK\r\n", b"X", 0.05),
    "endless": (HEAD + b"\r\n", b"x" * 65536, 0),
    "bomb": (body(b"text/html", BOMB, b"Content-Encoding: gzip\r\n"), None, None),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 500, 0),
    "interim": (SILENT, b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 100, 0),
    "chunks": (CHUNKED, b"1\r\nx\r\n" * 1000, 0),
    "xml": (body(b"text/xml", XML, status=b"500 Oops"), None, None),
    "json": (body(b"application/json", JSON, status=b"403 Forbidden"), None, None),
    "wide": (body(b"text/html", WIDE, status=b"403 Forbidden"), None, None),
}
EXPECTED = {
    "xml": "{ xpath: \"//x[count(//a[. = //a]) = 0]\" }",
    "json": "{ jsonpath: \"$..*..*..*..*\" }",
}


async def serve_good():
    page = body(b"text/html", b"<html>ok" + b"." * 2000)

    async def answer(reader, writer):
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(page)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1000)


def misbehave(first, again, pause):
    async def answer(reader, writer):
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(first)
            await writer.drain()
            if pause is not None and again is None:
                await reader.read(1)
            while again is not None:
                writer.write(again)
                await writer.drain()
                await asyncio.sleep(pause)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        writer.close()

    return answer


def servers(which, told):
    """A process with one server for each name; tells their ports."""

    async def main():
        ports, running = {}, []
        for name in which:
            if name == "good":
                server = await serve_good()
            else:
                server = await asyncio.start_server(misbehave(*HOSTILE[name]), "127.0.0.1", 0, backlog=1000)
            running.append(server)
            ports[name] = server.sockets[0].getsockname()[1]
        told.send(ports)
        await asyncio.gather(*(server.serve_forever() for server in running))

    # What a peer does to a connection is no news here.
    asyncio.new_event_loop().run_until_complete(main())


def configuration(folder, ports, listen):
    lines = ["version: 1", "service: Soak", f"store: {{ path: {folder}/soak.sqlite }}", f"listen: 127.0.0.1:{listen}"]
    lines += ["runs_in_flight: 400", "politeness: { per_host: { requests_per_minute: 6000, gap: 0ms } }", "egresses:"]
    lines += [f"  e{n}: 127.0.0.{n + 2}" for n in range(EGRESSES)]
    lines += ["clients:"] + [f'  c{n}: "soak/{n}"' for n in range(CLIENTS)] + ["probes:"]
    for n in range(GOOD_PROBES):
        lines.append(
            f'  good-{n}: {{ url: "http://good{n}.example:{ports["good"]}/", connect_to: 127.0.0.1,'
            f" every: {GOOD_EVERY}s, timeout: 3s }}"
        )
    for name in HOSTILE:
        expect = EXPECTED.get(name, "{ status: 200 }")
        lines.append(
            f'  {name}: {{ url: "http://{name}.test:{ports[name]}/", connect_to: 127.0.0.1,'
            f" every: {HOSTILE_EVERY}s, timeout: 3s, expect: {expect} }}"
        )
    return "\n".join(lines) + "\n"


def free_port():
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def status(pid, name):
    with open(f"/proc/{pid}/status") as text:
        line = next(line for line in text if line.startswith(name + ":"))
    return int(line.split()[1])


def files(pid, ports):
    """Open files of the process: those that belong to a run, and all others."""
    runs = set()
    with open("/proc/net/tcp") as table:
        for line in itertools.islice(table, 1, None):
            fields = line.split()
            if int(fields[2].split(":")[1], 16) in ports:
                runs.add(f"socket:[{fields[9]}]")
    held = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            held.append(os.readlink(f"/proc/{pid}/fd/{name}"))
        except FileNotFoundError:
            pass
    of_runs = sum(name in runs for name in held)
    return of_runs, len(held) - of_runs


def cpu(pid):
    with open(f"/proc/{pid}/stat") as text:
        fields = text.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def asked(port):
    began = time.monotonic()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10) as answer:
            answer.read()
    except urllib.error.HTTPError:
        pass  # Hostile partners are partners in trouble; it answered.
    return time.monotonic() - began


def history(path):
    """Lateness in ms of the good runs, how many failed, and how many of the hostile ones were made."""
    late, failed, hostile = [], 0, 0
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as store:
        tables = store.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB 'observations_*'").fetchall()
        for (table,) in tables:
            rows = store.execute(
                f"SELECT probe, late_us, kind, purpose FROM {table} JOIN cells ON cells.id = {table}.cell"
            )
            for probe, late_us, kind, purpose in rows:
                if not probe.startswith("good-"):
                    hostile += 1
                elif purpose == "schedule":
                    late.append(late_us / 1000)
                    failed += kind != "pass"
    return sorted(late), failed, hostile


def at(values, share):
    return values[int((len(values) - 1) * share)] if values else float("inf")


def slope(samples):
    """Growth over the second half, between the medians of its first and last quarter: a moment's peak is none."""
    half = samples[len(samples) // 2 :]
    quarter = max(len(half) // 4, 1)
    return at(sorted(half[-quarter:]), 0.5) - at(sorted(half[:quarter]), 0.5)


def main():
    binary, seconds = sys.argv[1], float(sys.argv[2])
    ports = {}
    processes = []
    # Good servers are not to wait for what the hostile ones are busy with.
    for which in (["good"], list(HOSTILE)):
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.Process(target=servers, args=(which, theirs), daemon=True)
        process.start()
        processes.append(process)
        ports |= ours.recv()
    with tempfile.TemporaryDirectory(prefix="edgewatch-soak-") as folder:
        listen = free_port()
        config = os.path.join(folder, "probes.yaml")
        with open(config, "w") as file:
            file.write(configuration(folder, ports, listen))
        log = open(os.path.join(folder, "log"), "w")
        daemon = subprocess.Popen([binary, "run", "--config", config], stdout=log, stderr=log)
        rss, fds, health = [], [], []
        known = set(ports.values())
        began = time.monotonic()
        try:
            for tick in itertools.count(1):
                time.sleep(max(0, began + tick - time.monotonic()))
                if daemon.poll() is not None:
                    sys.exit(f"edgewatch ended by itself:\n{open(log.name).read()[-2000:]}")
                rss.append(status(daemon.pid, "VmRSS") / 1024)
                fds.append(files(daemon.pid, known))
                health.append(asked(listen) * 1000)
                if time.monotonic() - began >= seconds:
                    break
            took = time.monotonic() - began
            share = cpu(daemon.pid) / took
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(30)
        late, failed, hostile = history(glob.glob(f"{folder}/soak.sqlite")[0])
    planned = took / GOOD_EVERY * GOOD_PROBES * EGRESSES * CLIENTS
    waiting = (len(HOSTILE) + GOOD_PROBES) * EGRESSES * CLIENTS
    under_way, others = max(of_runs for of_runs, _ in fds), max(rest for _, rest in fds)
    rows = [
        ("good runs", f"{len(late)}", f">= 99 % of {planned:.0f}", len(late) >= planned * 0.99 - 250),
        ("hostile runs", f"{hostile}", "", True),
        ("good failures", f"{failed}", "0", failed == 0),
        ("good lateness, p50", f"{at(late, 0.5):.1f} ms", "", True),
        ("good lateness, p99", f"{at(late, 0.99):.1f} ms", "< 250 ms", at(late, 0.99) < 250),
        ("good lateness, most", f"{at(late, 1):.1f} ms", "", True),
        ("RSS, most", f"{max(rss):.1f} MiB", "< 200 MiB", max(rss) < 200),
        ("RSS, growth in the second half", f"{slope(rss):+.2f} MiB", "< 1 MiB", slope(rss) < 1),
        ("open files beside those of runs", f"{others}", "< 64", others < 64),
        ("connections of runs, most", f"{under_way}", f"<= {waiting}", under_way <= waiting),
        ("/healthz, slowest", f"{max(health):.1f} ms", "< 250 ms", max(health) < 250),
        ("CPU", f"{share:.2f} of a core", "", True),
    ]
    print(f"\n500 cells, {took:.0f} s, {os.cpu_count()} cores\n")
    print("| what | measured | bound | |\n| --- | --- | --- | --- |")
    for what, measured, bound, holds in rows:
        print(f"| {what} | {measured} | {bound} | {'ok' if holds else '**over**'} |")
    sys.exit(0 if all(row[3] for row in rows) else 1)


if __name__ == "__main__":
    main()
