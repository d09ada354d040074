"""Judge process: decodes and judges what `serve` sends it, one request at a time.

`serve` starts it with the number of a connected socket, and it ends when that socket is closed.
So it outlives no `serve`, however that ended. It opens no journal and no store and listens
nowhere. A signal for the whole group ends `serve`, which then closes the socket.
"""

import logging
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, TypeAlias

import msgspec

from heliograph_collector.app.frames import (
    HEADER_BYTES,
    FrameError,
    decode_length,
    encode_frame,
)
from heliograph_collector.app.garbage_search import YOUNG_BESIDE_BLOCK, limit_garbage_search
from heliograph_collector.app.judge_messages import (
    EMPTY_PART,
    MAX_LOG_MESSAGES,
    VERSION,
    DecodeReply,
    DecodeRequest,
    FindViewsReply,
    FindViewsRequest,
    JudgeMessage,
    JudgeReply,
    JudgeRequest,
    JudgeSetup,
    TakeUpReply,
    TakeUpRequest,
    ViewedRequest,
    WorkerStatus,
    decode_chunks,
    decode_evidence,
    decode_heads,
    decode_message,
    encode_part,
)
from heliograph_collector.app.sent_views import NotSentError, ViewReader, ViewSender
from heliograph_collector.control import ControlContext
from heliograph_collector.control.assessor import ContextJudge, judge_by_view
from heliograph_collector.control.evidence import Evidence
from heliograph_collector.fleet.signed_lists import SignedLists
from heliograph_collector.judge import judge
from heliograph_collector.judge.fingerprints.library import LIBRARY
from heliograph_collector.judge.row_judge import select_sane
from heliograph_collector.model.records import ControlView, ReceivedMeasurement, Verdict
from heliograph_collector.store.journal.decode import read_rows
from heliograph_collector.store.pseudonyms import Pseudonyms


class WorkerLog(logging.Handler):
    """Keep log messages until the next reply carries them to `serve`.

    `serve` writes the log.
    """

    def __init__(self) -> None:
        super().__init__()
        self._messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if len(self._messages) < MAX_LOG_MESSAGES:
            self._messages.append(self.format(record))

    def take_messages(self) -> list[str]:
        messages = self._messages
        self._messages = []
        return messages


Reply: TypeAlias = DecodeReply | TakeUpReply | FindViewsReply | JudgeReply


class RequestHandler:
    """Answer requests, with our control context or by views of another process's."""

    def __init__(self, setup: JudgeSetup) -> None:
        LIBRARY.watch(SignedLists(Path(setup.data)))
        self._pseudonyms = Pseudonyms(setup.secret)
        self._context_judge = ContextJudge(judge, ControlContext(setup.services))
        self._decoded: dict[int, list[ReceivedMeasurement]] = {}  # by number of their block
        self._block: list[ReceivedMeasurement] = []  # that was taken up last
        self._senders: dict[int, ViewSender] = {}  # by number of the process that judges by them
        self._reader = ViewReader(setup.services)

    def answer(self, request: JudgeMessage) -> Reply:
        """Answer a request. Raises FrameError."""
        if isinstance(request, DecodeRequest):
            return self._decode(request)
        if isinstance(request, TakeUpRequest):
            return self._take_up(request)
        if isinstance(request, FindViewsRequest):
            return self._find_views(request)
        if isinstance(request, ViewedRequest):
            return self._judge_by_views(request)
        if isinstance(request, JudgeRequest):
            return self._judge(request)
        raise FrameError(f"{type(request).__name__} is no request")

    def _decode(self, request: DecodeRequest) -> DecodeReply:
        decoded = read_rows(request.rows, self._pseudonyms)
        self._decoded[request.number] = decoded.records
        if request.is_past:
            return DecodeReply(part=EMPTY_PART, failures=[])
        part = encode_part(decoded, has_evidence=request.wants_evidence)
        return DecodeReply(part=part, failures=decoded.failures)

    def _take_up(self, request: TakeUpRequest) -> TakeUpReply:
        records = [*self._list_decoded(request.number)]
        evidence: dict[str, Evidence] = {}
        for part in request.others:
            others = decode_heads(part)
            ids = (record.id for record in others)
            evidence.update(zip(ids, decode_evidence(part), strict=False))
            records += others
        self._block = select_sane(records)
        return TakeUpReply(taken_up=self._context_judge.take_up(self._block, evidence))

    def _find_views(self, request: FindViewsRequest) -> FindViewsReply:
        """Build the requests for other processes; one that is not named is gone."""
        self._senders = {
            share.judge: self._senders.get(share.judge) or ViewSender() for share in request.shares
        }
        requests = []
        for share in request.shares:
            records = [self._block[index] for index in share.judged]
            views = list(map(self._context_judge.find_view, records))
            sender = self._senders[share.judge]
            viewed = sender.build_request(request.number, share.own, records, views)
            requests.append(msgspec.Raw(msgspec.msgpack.encode(viewed)))
        return FindViewsReply(requests=requests)

    def _judge(self, request: JudgeRequest) -> JudgeReply:
        LIBRARY.refresh()
        share = [*(self._block[index] for index in request.judged), *decode_chunks(request.due)]
        return JudgeReply(verdicts=[self._context_judge.judge(record) for record in share])

    def _judge_by_views(self, request: ViewedRequest) -> JudgeReply:
        LIBRARY.refresh()
        decoded = self._list_decoded(request.number)
        records = [decoded[index] for index in request.own]
        views = self._reader.read(request, records)
        return JudgeReply(verdicts=list(map(_judge_by_view, records, views)))

    def _list_decoded(self, number: int) -> list[ReceivedMeasurement]:
        """List the records of a block, and forget those of earlier ones."""
        self._decoded = {n: records for n, records in self._decoded.items() if n >= number}
        return self._decoded.get(number, [])


def _judge_by_view(
    record: ReceivedMeasurement, view: ControlView | None
) -> tuple[Verdict, ...] | None:
    """Judge a record; None if that depends on data not sent."""
    try:
        return judge_by_view(judge, record, view) if view is not None else None
    except NotSentError:
        return None


def answer_requests(reader: BinaryIO, writer: BinaryIO, log: WorkerLog) -> None:
    """Answer until the stream ends. Raises FrameError, OSError."""
    setup = read_message(reader)
    if not isinstance(setup, JudgeSetup):
        return
    if setup.version != VERSION:
        raise FrameError(f"serve is version {setup.version}, the judge process is {VERSION}")
    handler = RequestHandler(setup)
    limit_garbage_search(YOUNG_BESIDE_BLOCK)
    _send_status(writer, log)
    while (request := read_message(reader)) is not None:
        writer.write(encode_frame(handler.answer(request)))
        _send_status(writer, log)


def read_message(reader: BinaryIO) -> JudgeMessage | None:
    """Read a message, None at the end of the stream. Raises FrameError, OSError."""
    header = reader.read(HEADER_BYTES)
    if len(header) < HEADER_BYTES:
        return None
    length = decode_length(header)
    body = reader.read(length)
    return decode_message(body) if len(body) == length else None


def _send_status(writer: BinaryIO, log: WorkerLog) -> None:
    cpu_us = time.process_time_ns() // 1_000
    writer.write(encode_frame(WorkerStatus(cpu_us=cpu_us, messages=log.take_messages())))
    writer.flush()


def main() -> None:
    """Run a judge process on the socket whose number is the first argument."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    log = WorkerLog()
    logging.basicConfig(level=logging.WARNING, handlers=[log])
    with (
        socket.socket(fileno=int(sys.argv[1])) as connection,
        suppress(ConnectionError),  # `serve` is gone, and nobody reads an answer
        connection.makefile("rb") as reader,
        connection.makefile("wb") as writer,
    ):
        try:
            answer_requests(reader, writer, log)
        except FrameError as error:
            sys.exit(f"The judge process ends: {error}.")


if __name__ == "__main__":
    main()
