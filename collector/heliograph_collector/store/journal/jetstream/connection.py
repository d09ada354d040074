"""Connect to a journal's NATS servers: TLS, credentials, and error sentences."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import ParamSpec, Protocol, TypedDict, TypeVar

import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js.client import JetStreamContext

from heliograph_collector.store.journal.group_commit import JournalBusyError, JournalError

CONNECT_S = 10.0  # assumed
TRY_S = 5.0  # of one request: a new leader took 3 to 8 s, in which requests get no answer at all
RETRY_S = 0.25
PATIENCE_S = 2 * TRY_S
PONG_S = 2  # assumed; a server answers a ping at once, without a quorum too
OPEN_S = 60.0  # assumed; servers that start together choose several leaders one after the other
PENDING_BYTES = 4_194_304  # that wait for a connection, of a client which sends only when connected
MIN_PAYLOAD = 2_162_688  # bytes of a message: the journal's largest body, and its fields
_MAX_SECRET_CHARS = 16_384

# Nobody answered, or nobody who may: a leader is being elected, or there is no quorum.
UNANSWERED = (
    nats.errors.TimeoutError,
    nats.errors.NoRespondersError,
    nats.errors.ConnectionClosedError,
    nats.errors.ConnectionReconnectingError,
    nats.errors.OutboundBufferLimitError,
    nats.errors.StaleConnectionError,
    nats.js.errors.NoStreamResponseError,
    nats.js.errors.ServiceUnavailableError,
)
# "No suitable peers for placement", with status 400: servers that start together have not met yet.
_NOT_ENOUGH_SERVERS = 10_005
PASSED_ON = (nats.js.errors.NotFoundError, nats.js.errors.KeyWrongLastSequenceError)
_LOG = logging.getLogger("heliograph.journal")
_P = ParamSpec("_P")
_T = TypeVar("_T")


class ServerSettings(Protocol):
    """Settings of `store.journal`.

    Implemented by config.journal_settings.JournalSettings.
    """

    @property
    def urls(self) -> tuple[str, ...]: ...
    @property
    def name(self) -> str: ...
    @property
    def replicas(self) -> int: ...
    @property
    def kept_hours(self) -> int: ...
    @property
    def max_bytes(self) -> int: ...
    @property
    def ca_file(self) -> Path | None: ...
    @property
    def certificate_file(self) -> Path | None: ...
    @property
    def key_file(self) -> Path | None: ...
    @property
    def credentials_file(self) -> Path | None: ...


class ConnectOptions(TypedDict, total=False):
    """Options of the library by which a collector proves itself."""

    tls: ssl.SSLContext
    user: str
    password: str
    token: str
    user_credentials: str
    nkeys_seed_str: str


class NatsConnection:
    """A connection to any of the servers, which the library reopens after a failure."""

    def __init__(self, settings: ServerSettings, inbox: str = "_INBOX") -> None:
        """Prepare a connection.

        Args:
            inbox: The first word of subjects for answers; a user with fewer rights has another.
        """
        self._settings = settings
        self._inbox = inbox
        self._client = Client()
        self.patience_s = OPEN_S  # of `ask`; its owner sets PATIENCE_S after the start
        self._last_error = ""
        self._refusals: list[str] = []  # while it connects for the first time
        self._deadline: asyncio.Timeout | None = None
        self.js: JetStreamContext = self._client.jetstream(timeout=TRY_S)

    async def open(self) -> None:
        """Connect to one of the servers. Raises JournalError."""
        options = read_credentials(self._settings.credentials_file)
        options.update(self._build_tls())
        try:
            async with asyncio.timeout(CONNECT_S) as self._deadline:
                await self._client.connect(
                    servers=list(self._settings.urls),
                    name="heliograph-collector",
                    inbox_prefix=self._inbox,
                    error_cb=self._on_error,
                    reconnected_cb=self._on_reconnect,
                    connect_timeout=2,
                    reconnect_time_wait=1,
                    max_reconnect_attempts=-1,
                    pending_size=PENDING_BYTES,
                    **options,
                )
        except Exception as error:
            await self.close()
            raise JournalError(self._describe_failure(error)) from error
        self._deadline = None
        self._refusals.clear()
        if self._client.max_payload < MIN_PAYLOAD:
            await self.close()
            raise JournalError(
                f"The journal's servers take messages of {self._client.max_payload} bytes, and "
                f"envelopes may have {MIN_PAYLOAD}: set max_payload: 4MB in their configuration."
            )

    @property
    def client(self) -> Client:
        return self._client

    @property
    def is_connected(self) -> bool:
        return self._client.is_connected

    def check(self) -> None:
        """Raise JournalBusyError while no server is connected."""
        if not self._client.is_connected:
            raise self.build_failure()

    def build_failure(self, error: BaseException | None = None) -> JournalBusyError:
        """Build the error of a request that nobody answered, or nobody who may."""
        if not self._client.is_connected:
            reason = f" ({self._last_error})" if self._last_error else ""
            return JournalBusyError(f"No server of the journal can be reached{reason}.")
        reason = getattr(error, "description", None) or self._last_error
        cause = f" ({reason})" if reason else ""
        return JournalBusyError(
            f"The journal's servers store nothing{cause}: they have no quorum, choose a leader, or "
            "their disks are full."
        )

    async def ask(
        self, request: Callable[_P, Awaitable[_T]], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Ask until somebody answers; raises JournalBusyError after `patience_s`.

        Raises nats.js.errors.NotFoundError for an answer that there is none, and JournalError for
        another one that is an error. A wrong revision is nats.js.errors.KeyWrongLastSequenceError.
        """
        deadline_s = asyncio.get_running_loop().time() + self.patience_s
        while True:
            try:
                self.check()
                async with keeping_cancellation():
                    return await request(*args, **kwargs)
            except PASSED_ON:
                raise
            except (*UNANSWERED, JournalBusyError) as error:
                await self._leave_silent_server(error)
                if asyncio.get_running_loop().time() >= deadline_s:
                    raise self.build_failure(error) from error
            except nats.js.errors.APIError as error:
                is_starting = error.err_code == _NOT_ENOUGH_SERVERS
                if not is_starting or asyncio.get_running_loop().time() >= deadline_s:
                    raise JournalError(
                        f"The journal's servers refuse a request ({error.description})."
                    ) from error
            await asyncio.sleep(RETRY_S)

    async def _leave_silent_server(self, error: Exception) -> None:
        """Connect to another server if the present one does not answer a ping.

        Its link may be cut, which the library would notice by its own pings only after six minutes.
        """
        if not isinstance(error, nats.errors.TimeoutError):
            return
        connections = self._client.stats["reconnects"]
        try:
            await self._client.flush(PONG_S)
        except nats.errors.FlushTimeoutError:
            if self._client.stats["reconnects"] == connections:  # not of the one before
                await self._client.force_reconnect()
        except nats.errors.Error:
            return  # it knows that it is not connected

    async def close(self) -> None:
        with suppress(AssertionError):  # the library's, if it has not begun to connect
            if not self._client.is_closed:
                await self._client.close()

    async def _on_error(self, error: Exception) -> None:
        """Log what the library notices, each once in a row."""
        sentence = _describe_error(error)
        if sentence != self._last_error:
            _LOG.warning("The journal's servers: %s.", sentence)
        self._last_error = sentence
        is_refusal = isinstance(error, ssl.SSLError) or "authorization" in sentence.lower()
        if is_refusal and self._deadline is not None:
            self._refusals.append(sentence)
        is_refused = len(self._refusals) >= len(self._settings.urls)
        if is_refused and self._deadline is not None:  # as often as there are servers: no use
            self._deadline.reschedule(asyncio.get_running_loop().time())

    async def _on_reconnect(self) -> None:
        _LOG.info("The journal's servers: connected again.")
        self._last_error = ""

    def _describe_failure(self, error: BaseException) -> str:
        servers = ", ".join(self._settings.urls)
        reason = (self._refusals or [self._last_error or _describe_error(error)])[-1]
        cure = "correct store.journal, or start them"
        if "authorization" in reason.lower() or isinstance(error, TypeError | ValueError):
            cure = "correct credentials_file of store.journal, or the user's rights there"
        elif "certificate" in reason.lower() or "tls" in reason.lower() or "ssl" in reason.lower():
            cure = "correct ca_file, certificate_file and key_file of store.journal"
        return f"The journal's servers {servers} cannot be used ({reason}): {cure}."

    def _build_tls(self) -> "ConnectOptions":
        """Build the options for TLS, which a file or tls:// asks for. Raises JournalError."""
        settings = self._settings
        is_wanted = settings.ca_file or any(url.startswith("tls://") for url in settings.urls)
        if not is_wanted and settings.certificate_file is None:
            return {}
        try:
            context = ssl.create_default_context(cafile=settings.ca_file)
            if settings.certificate_file is not None and settings.key_file is not None:
                context.load_cert_chain(settings.certificate_file, settings.key_file)
        except OSError as error:  # ssl.SSLError too
            raise JournalError(
                f"The TLS files of store.journal cannot be used ({_describe_error(error)}): "
                "ca_file, certificate_file and key_file must be PEM that this user may read."
            ) from error
        return {"tls": context}


@asynccontextmanager
async def keeping_cancellation() -> AsyncIterator[None]:
    """Raise CancelledError at the end if the block swallowed a cancellation.

    `asyncio.wait_for` of Python 3.11, by which the library waits, swallows one if the answer
    arrives in the same turn of the loop (cpython issue 86296). The task would run on, and hold its
    group.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    yield
    if task and task.cancelling() > before:
        raise asyncio.CancelledError


def read_credentials(file: Path | None) -> "ConnectOptions":
    """Read credentials: a .creds file, the seed of an nkey, USER:PASSWORD, or a token.

    Raises JournalError, whose text holds nothing of them.
    """
    if file is None:
        return {}
    try:
        with file.open(encoding="utf-8") as stream:
            content = stream.read(_MAX_SECRET_CHARS + 1).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise JournalError(
            f"{file} (credentials_file of store.journal) cannot be read ({type(error).__name__})."
        ) from None
    if content.startswith("-----BEGIN NATS USER JWT"):
        return {"user_credentials": str(file)}
    if not content or len(content) > _MAX_SECRET_CHARS or len(content.split()) != 1:
        raise JournalError(
            f"{file} (credentials_file of store.journal) must hold a .creds file, the seed of an "
            "nkey, USER:PASSWORD or a token, and nothing else."
        )
    if content.startswith("SU") and len(content) == 58:
        return {"nkeys_seed_str": content}
    user, colon, password = content.partition(":")
    return {"user": user, "password": password} if colon else {"token": content}


def _describe_error(error: BaseException) -> str:
    text = str(error).strip().removeprefix("nats: ").strip("'.")
    return text or type(error).__name__
