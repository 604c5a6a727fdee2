"""The cost of a page over HTTP: requests per second, and the server's CPU time per request."""

import random
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from benchmarks.visits import load, peers
from benchmarks.visits.calls import CACHED, PAGES, UNCACHED, call
from benchmarks.visits.corpus import configuration
from benchmarks.visits.host import CEILING
from benchmarks.visits.processes import NGINX, Server, contender, nginx
from blog.application import create_app


class Sample(NamedTuple):
    """The figures of one round."""

    #: Requests per second.
    rate: float
    #: The server's CPU time per request in microseconds; None if the system does not tell.
    cpu: float | None
    #: The client's CPU time per second. Near 1, the client is the limit.
    client: float


Results = dict[tuple[str, str], list[Sample]]


def measure(
    file: Path, folder: Path, *, threads: int, rounds: int, seconds: float
) -> tuple[Results, dict[str, str]]:
    """Measure all contenders with the database in `file`.

    :param folder: the folder for nginx's files.
    :param threads: the number of threads of each server, and of requests in flight.
    :param rounds: the number of samples of each page.
    :param seconds: the length of a sample.
    :return: the samples by contender and page; and for each contender that is missing, the reason.
    """
    missing: dict[str, str] = {}
    with ExitStack() as stack:
        client = stack.enter_context(ProcessPoolExecutor(1, mp_context=get_context("spawn")))
        servers: dict[str, Server] = {}
        for name in (CEILING, CACHED, UNCACHED, *peers.MODULES):
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
    cpu = None if before is None or after is None else (after - before) / done.responses * 1e6
    return Sample(done.responses / done.wall, cpu, done.cpu / done.wall)
