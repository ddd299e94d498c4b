"""The acquirer: one request in, one answer out, and the books in between.

Pure: time, seed and configuration are arguments; no sockets, files, clocks, tasks. It does what an honest host
does; the troubles of the line are faults.py's, and server.py carries them out.
"""

from dataclasses import dataclass

from posd.iso8583.codec import Codec, replace_mac
from posd.iso8583.message import Message
from simulators.crypto import BLOCK_BYTES
from simulators.fields import Field60, Unreadable
from simulators.host.books import Batch, Books, Terminal
from simulators.host.conformance import deviations
from simulators.host.event_lines import described
from simulators.host.financial import authorise
from simulators.host.request import (
    APPROVE_CODES,
    APPROVED,
    MAC_MTIS,
    Request,
    answer_mti,
    read_stan,
)
from simulators.host.reversal import reverse
from simulators.host.script_notice import notice
from simulators.host.session import ECHO, manage
from simulators.host.settings import HostSettings
from simulators.host.settlement import settle, upload
from simulators.host.tracks import with_clear_tracks

SECURITY_FAILED = "89"
UNKNOWN_TERMINAL, WRONG_MERCHANT, FORMAT_ERROR, BAD_MAC, NOT_SUPPORTED = "97", "03", "30", "A0", "40"
MAC_PLACE = "00" * BLOCK_BYTES
REMARKS_MAX = 1_000


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """What the host says. `body` is the encoded message (None: no answer), `what` one masked line for a log.

    `findings`: what a settlement compared, as masked JSON-ready events ("totals", "upload", "batch ended", ...).
    """

    body: bytes | None
    what: str
    message: Message | None = None
    code: str | None = None
    tid: str | None = None
    stan: int = 0
    remarks: tuple[str, ...] = ()
    findings: tuple[dict[str, object], ...] = ()


class Acquirer:
    """Terminals, cards and ledger of one simulated host."""

    def __init__(self, settings: HostSettings, seed: int = 0, *, codec: Codec | None = None) -> None:
        self.settings = settings
        self.seed = seed
        keys, wire = settings.behaviour.keys, settings.behaviour.wire
        self.codec = codec or wire.codec(keys.sm4_pin_block_bytes)
        self._keying = settings.behaviour.keys
        self.books = Books.open(settings)

    def handle(
        self,
        message: Message,
        raw_body: bytes,
        now_ms: int,
        *,
        refuse: str | None = None,
        say: str | None = None,
    ) -> Answer:
        """Answer one decoded message; `raw_body` are its bytes from the MTI on, for the MAC.

        `now_ms`: milliseconds since 1970 UTC. `refuse`: decline with this code instead of deciding (10 and other
        approve codes approve with it, 10 half of the amount). `say`: decide and book as usual, then answer with
        this code.
        """
        if not message.mti.isdecimal() or message.mti[2] not in "024" or message.mti[3] != "0":
            return Answer(None, f"{message.mti} is not a request: no answer")
        terminal = self.books.terminals.get(message.get(41) or "")
        if terminal is None:
            return self._bare(message, UNKNOWN_TERMINAL, "unknown terminal")
        if message.get(42) != terminal.settings.mid:
            return self._bare(message, WRONG_MERCHANT, "another merchant")
        try:
            field60 = Field60.parse(message.get(60))
            stan = read_stan(message, needed=field60.code != ECHO)
        except Unreadable as trouble:
            return self._bare(message, FORMAT_ERROR, str(trouble))
        if message.mti in MAC_MTIS and not self._mac_fits(terminal, message, raw_body):
            why = "not signed in" if terminal.keys is None else "MAC wrong or absent"
            return self._bare(message, BAD_MAC, why)
        try:
            message = with_clear_tracks(message, terminal.keys, self._keying)
        except Unreadable as trouble:
            return self._bare(message, SECURITY_FAILED, str(trouble))
        request = Request(message, terminal, self.books, self.settings.behaviour, field60, stan, now_ms, refuse)
        return self._answer(request, say)

    def refuse_unreadable(self, partial: Message | None) -> Answer:
        """A message that does not decode: code 30 where its MTI can be read, otherwise nothing."""
        if partial is None or partial.mti[2:] not in ("00", "20", "40"):
            return Answer(None, "unreadable: no answer")
        return self._bare(partial, FORMAT_ERROR, "unreadable")

    def forget_keys(self, tid: str | None) -> None:
        """Lose the working keys of a terminal: everything that needs a MAC gets A0 until it signs in again."""
        terminal = self.books.terminals.get(tid or "")
        if terminal is not None:
            terminal.keys = None

    def move_batch(self, tid: str | None, number: int) -> None:
        """Go on with another batch number of the host's own; the old batch stays as it is (D7's trouble)."""
        terminal = self.books.terminals.get(tid or "")
        if terminal is not None and terminal.batch.number != number:
            terminal.batches.append(Batch(number))

    def seal(self, tid: str | None, message: Message) -> bytes:
        """Encode an answer; a placeholder in field 64 becomes a MAC under the terminal's present key."""
        body = self.codec.encode(message)
        terminal = self.books.terminals.get(tid or "")
        if message.get(64) is None or terminal is None or terminal.keys is None:
            return body
        return replace_mac(body, self._keying.mac(terminal.keys.mak, body[:-BLOCK_BYTES]))

    @property
    def header_bytes(self) -> int:
        """How many bytes stand between TPDU and MTI."""
        return self.settings.behaviour.header_bytes

    def described(self, message: Message) -> dict[str, object]:
        """A message for an event line, masked."""
        return described(message)

    def unasked(self, trigger: Message) -> tuple[Message, ...]:
        """What an echo storm pours out for the trigger's terminal: 0830 and 0820 in turn."""
        known = {number: value for number in (41, 42) if (value := trigger.get(number)) is not None}
        batch = (trigger.get(60) or "")[2:8].rjust(6, "0")
        asked = known | {60: f"00{batch}{ECHO}"}
        return Message("0830", {**asked, 39: APPROVED}), Message("0820", asked)

    def dump(self) -> dict[str, object]:
        """The books as JSON-ready values: masked, without keys."""
        return self.books.dump()

    def _answer(self, request: Request, say: str | None) -> Answer:
        terminal, message = request.terminal, request.message
        request.deviates(deviations(message))
        reply = self._dispatch(request)
        if say is not None:
            reply = reply.with_({39: say})
        code = reply.get(39)
        if self._with_mac(request, code):
            reply = reply.with_({64: MAC_PLACE})
        tid = terminal.settings.tid
        room = REMARKS_MAX - len(terminal.remarks)
        where = f"{message.mti} batch {request.field60.batch} STAN {request.stan}"
        terminal.remarks.extend(f"{where}: {remark}" for remark in request.remarks[:room])
        left = REMARKS_MAX - len(terminal.conformance)
        terminal.conformance.extend(f"{where}: {one}" for one in request.conformance[:left])
        return Answer(
            self.seal(tid, reply),
            f"{reply.mti} {code or 'without code'}",
            reply,
            code,
            tid,
            request.stan,
            tuple(request.remarks),
            tuple(request.findings),
        )

    def _dispatch(self, request: Request) -> Message:
        match request.message.mti:
            case "0100" | "0200" | "0220":
                return authorise(request)
            case "0400":
                return reverse(request)
            case "0500":
                return settle(request)
            case "0320":
                return upload(request)
            case "0800" | "0820":
                return manage(request, self.settings, self.seed)
            case "0620":
                return notice(request)
            case _:
                return request.reply(NOT_SUPPORTED)

    def _with_mac(self, request: Request, code: str | None) -> bool:
        """MAC'd kinds when keys are known; approvals always, declines by the knob (D10's trouble)."""
        if request.message.mti not in MAC_MTIS or request.terminal.keys is None or code == BAD_MAC:
            return False
        return code in APPROVE_CODES or request.behaviour.mac_declines

    def _mac_fits(self, terminal: Terminal, message: Message, raw_body: bytes) -> bool:
        if terminal.keys is None or message.get(64) is None:
            return False
        return self._keying.mac(terminal.keys.mak, raw_body[:-BLOCK_BYTES]) == raw_body[-BLOCK_BYTES:]

    def _bare(self, message: Message, code: str, why: str) -> Answer:
        """An answer without MAC that echoes what could be read: 97, 03, 30, A0."""
        fields = {n: value for n in (3, 4, 11, 41, 42, 60) if (value := message.get(n)) is not None}
        reply = Message(answer_mti(message.mti), {**fields, 39: code})
        tid, stan = message.get(41), message.get(11) or "0"
        what = f"{reply.mti} {code}: {why}"
        return Answer(self.codec.encode(reply), what, reply, code, tid, int(stan))
