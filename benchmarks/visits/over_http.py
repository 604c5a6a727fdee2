"""What a page costs over HTTP: requests a second, and the server's CPU time for one."""

import random
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from benchmarks.visits import load, peers
from benchmarks.visits.calls import KEPT, MADE, PAGES, call
from benchmarks.visits.corpus import configuration
from benchmarks.visits.host import CEILING
from benchmarks.visits.processes import NGINX, Server, contender, nginx
from blog.application import create_app


class Sample(NamedTuple):
    """Of one round."""

    #: Requests a second.
    rate: float
    #: Microseconds of the server's CPU time for a request; None if the system does not tell.
    cpu: float | None
    #: Which part of the time the client computed; where that is nearly all, it is the limit.
    client: float


Results = dict[tuple[str, str], list[Sample]]


def measure(
    file: Path, folder: Path, *, threads: int, rounds: int, seconds: float
) -> tuple[Results, dict[str, str]]:
    """Measure all contenders with the database in `file`.

    :param folder: for nginx's files.
    :param threads: how many each server has, and how many requests are under way.
    :param seconds: how long a sample takes.
    :return: the samples by name and page, and why a contender is missing, by name.
    """
    missing: dict[str, str] = {}
    with ExitStack() as stack:
        client = stack.enter_context(ProcessPoolExecutor(1, mp_context=get_context("spawn")))
        servers: dict[str, Server] = {}
        for name in (CEILING, KEPT, MADE, *peers.MODULES):
            if name in peers.MODULES and (reason := peers.missing(name)):
                missing[name] = reason
                continue
            servers[name] = stack.enter_context(contender(name, file, threads))
        ours = create_app(configuration(file))
        pages = {address: call(ours, address)() for address in PAGES.values()}
        ours.engine.dispose()  # Windows removes no file that is open
        try:
            servers[NGINX] = stack.enter_context(nginx(folder, pages))
        except FileNotFoundError as error:
            missing[NGINX] = str(error)
        results: Results = {(name, page): [] for name in servers for page in PAGES}
        for number in range(rounds + 1):
            for name, page in random.sample(list(results), len(results)):
                sample = _sample(client, servers[name], PAGES[page], seconds, threads)
                if number:  # the first round warms them up
                    results[name, page].append(sample)
    return results, missing


def _sample(
    client: ProcessPoolExecutor, server: Server, path: str, seconds: float, connections: int
) -> Sample:
    before = server.cpu()
    done = client.submit(load.fetch, server.url + path, seconds, connections).result()
    after = server.cpu()
    cpu = None if before is None or after is None else (after - before) / max(done.answers, 1) * 1e6
    return Sample(done.answers / done.wall, cpu, done.cpu / done.wall)
