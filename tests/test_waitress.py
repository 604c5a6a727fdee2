"""What blog/server uses of waitress and waitress does not promise: an upgrade may remove it."""

import inspect
import re

import pytest
from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.buffers import ReadOnlyFileBasedBuffer
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher

#: Methods and class attributes that are called, overridden or set.
ON_CLASSES = [
    (Adjustments, "send_bytes url_prefix threads"),
    (ReadOnlyFileBasedBuffer, "prepare"),
    (
        HTTPChannel,
        "parser_class request total_outbufs_len will_close close_when_flushed "
        "sent_continue handle_write handle_close handle_error readable received send_continue "
        "write_soon send _flush_some _flush_some_if_lockable _flush_exception",
    ),
    (
        HTTPRequestParser,
        "completed empty expect_continue headers_finished chunked body_rcv body_bytes_received "
        "error version received parse_header",
    ),
    (
        TcpWSGIServer,
        "channel_class accepting set_socket_options readable handle_accept add_task",
    ),
    (ThreadedTaskDispatcher, "set_thread_count shutdown active_count"),
    (wasyncore, "loop close_all dispatcher"),
]

#: Attributes of instances, which the constructors set.
ON_INSTANCES = [
    (HTTPChannel, "requests requests_lock sendbuf_len adj server addr"),
    (HTTPRequestParser, "headers path command request_uri proxy_scheme proxy_netloc"),
    (TcpWSGIServer, "active_channels task_dispatcher adj application"),
    (ThreadedTaskDispatcher, "queue threads"),
    (wasyncore.dispatcher, "_map connected"),
]


@pytest.mark.parametrize(
    ("owner", "name"), [(owner, name) for owner, names in ON_CLASSES for name in names.split()]
)
def test_class_attribute(owner: object, name: str) -> None:
    assert hasattr(owner, name)


@pytest.mark.parametrize(
    ("owner", "name"), [(owner, name) for owner, names in ON_INSTANCES for name in names.split()]
)
def test_instance_attribute(owner: type, name: str) -> None:
    source = "".join(inspect.getsource(each) for each in owner.__mro__ if each is not object)
    assert re.search(rf"self\.{name}(?:: [^=]+)?(?: =|,$)", source, re.MULTILINE)
