"""The acquirer of the NAC / Hypercom dialect: one request in, one answer out, and the books in between (reference 2).

Pure, as acquirer.py is, and with the same face to the server: no keys, no batch number but in settlement, no MAC unless
one is configured. The troubles of the line are faults.py's.
"""

from posd.iso8583.codec import Codec, replace_mac
from posd.iso8583.message import Message
from posd.iso8583.nac import HEADER_BYTES, VariablePad, nac_spec
from simulators.crypto import BLOCK_BYTES
from simulators.fields import Unreadable, mask_pan
from simulators.host.acquirer import REMARKS_MAX, Answer
from simulators.host.faults import pan_of
from simulators.host.nac_books import Batch, Books, Terminal
from simulators.host.nac_conformance import deviations
from simulators.host.nac_financial import authorise
from simulators.host.nac_request import APPROVED, NacRequest, answer_mti, first_mti
from simulators.host.nac_reversal import reverse
from simulators.host.nac_settlement import settle, upload
from simulators.host.request import read_stan
from simulators.host.settings import HostSettings
from simulators.nac_fields import ECHO, LOGON, PARAMETER_LOADS

UNKNOWN_TERMINAL, WRONG_MERCHANT, FORMAT_ERROR, BAD_MAC, NOT_SUPPORTED = "89", "03", "30", "88", "12"
WITH_MAC = frozenset({"0100", "0200", "0220", "0400"})
MAC_PLACE = "00" * BLOCK_BYTES
PADS = {"0": VariablePad.ZERO, "F": VariablePad.F, "right": VariablePad.RIGHT}


class NacAcquirer:
    """Terminals, cards and ledger of one simulated NAC host."""

    header_bytes = HEADER_BYTES

    def __init__(self, settings: HostSettings, seed: int = 0) -> None:
        self.settings = settings
        self.seed = seed
        self.codec = Codec(nac_spec(pad=PADS[settings.nac.pad], ascii_wire=settings.nac.ascii_wire))
        self.books = Books.open(settings)
        self._keying = settings.behaviour.keys
        self._mac_key = bytes.fromhex(settings.nac.mac_key)

    def handle(
        self, message: Message, raw_body: bytes, now_ms: int, *, refuse: str | None = None, say: str | None = None
    ) -> Answer:
        """Answer one decoded message; the arguments are those of Acquirer.handle.

        `refuse` 95 to totals, 77 or 95 to a closing mean what they say: the upload is awaited, the batch is closed.
        """
        if not message.mti.isdecimal() or message.mti[2] not in "024" or message.mti[3] not in "01":
            return Answer(None, f"{message.mti} is not a request: no answer")
        terminal = self.books.terminals.get(message.get(41) or "")
        if terminal is None:
            return self._bare(message, UNKNOWN_TERMINAL, "unknown terminal")
        if message.get(42) not in (None, terminal.settings.mid):
            return self._bare(message, WRONG_MERCHANT, "another merchant")
        mti = first_mti(message.mti)
        try:
            stan = read_stan(message, needed=mti != "0800")
        except Unreadable as trouble:
            return self._bare(message, FORMAT_ERROR, str(trouble))
        if not self._mac_fits(mti, message, raw_body):
            return self._bare(message, BAD_MAC, "MAC wrong or absent")
        nac, behaviour = self.settings.nac, self.settings.behaviour
        return self._answer(
            NacRequest(message, mti, terminal, self.books, nac, behaviour, stan, now_ms, refuse), terminal, say
        )

    def refuse_unreadable(self, partial: Message | None) -> Answer:
        """A message that does not decode: code 30 where its MTI can be read, otherwise nothing."""
        if partial is None or partial.mti[2:] not in ("00", "20"):
            return Answer(None, "unreadable: no answer")
        return self._bare(partial, FORMAT_ERROR, "unreadable")

    def forget_keys(self, tid: str | None) -> None:
        """There are no keys to forget; the configuration refuses such a rule."""

    def move_batch(self, tid: str | None, number: int) -> None:
        """Go on with another batch number of the host's own; the old batch stays as it is."""
        terminal = self.books.terminals.get(tid or "")
        if terminal is not None and terminal.batch.number != number:
            terminal.batches.append(Batch(number, terminal.batch.voids))

    def seal(self, tid: str | None, message: Message) -> bytes:
        """Encode an answer; a placeholder in field 64 becomes a MAC where a key is configured."""
        body = self.codec.encode(message)
        if message.get(64) is None or not self._mac_key:
            return body
        return replace_mac(body, self._keying.mac(self._mac_key, body[:-BLOCK_BYTES]))

    def dump(self) -> dict[str, object]:
        """The books as JSON-ready values, masked."""
        return self.books.dump()

    def described(self, message: Message) -> dict[str, object]:
        """A message for an event line: identities, amount, code; the card as first six and last four."""
        amount, pan, is_totals = message.get(4), pan_of(message), message.mti[:2] == "05"
        facts: dict[str, object | None] = {
            "mti": message.mti,
            "f3": message.get(3),
            "tid": message.get(41),
            "stan": int(message.get(11) or "0") or None,
            "invoice": message.get(62) if len(message.get(62) or "") <= 6 else None,
            "batch": (message.get(60) or "")[:6] or None if is_totals else None,
            "amount": int(amount) if amount else None,
            "card": mask_pan(pan) if pan else None,
            "code": message.get(39),
            "rrn": message.get(37),
        }
        return {name: value for name, value in facts.items() if value is not None}

    def unasked(self, trigger: Message) -> tuple[Message, ...]:
        """What an echo storm pours out for the trigger's terminal: an answer and a question in turn."""
        asked = {3: ECHO} | {n: value for n in (24, 41) if (value := trigger.get(n)) is not None}
        return Message("0810", {**asked, 39: APPROVED}), Message("0800", asked)

    def _answer(self, request: NacRequest, terminal: Terminal, say: str | None) -> Answer:
        request.remarks.extend(deviations(request.message, request.nac.nii))
        where = f"{request.message.mti} batch {terminal.batch.number} STAN {request.stan}"
        reply = self._dispatch(request)
        if say is not None:
            reply = reply.with_({39: say})
        if self._mac_key and request.mti in WITH_MAC:
            reply = reply.with_({64: MAC_PLACE})
        tid, code, room = terminal.settings.tid, reply.get(39), REMARKS_MAX - len(terminal.remarks)
        terminal.remarks.extend(f"{where}: {remark}" for remark in request.remarks[:room])
        remarks, findings = tuple(request.remarks), tuple(request.findings)
        return Answer(self.seal(tid, reply), f"{reply.mti} {code}", reply, code, tid, request.stan, remarks, findings)

    def _dispatch(self, request: NacRequest) -> Message:
        match request.mti:
            case "0100" | "0200" | "0220":
                return authorise(request)
            case "0400":
                return reverse(request)
            case "0500":
                return settle(request)
            case "0320":
                return upload(request)
            case "0800":
                return self._manage(request)
            case _:
                return request.reply(NOT_SUPPORTED)

    def _manage(self, request: NacRequest) -> Message:
        """Logon and echo need no keys. Parameters are given in two parts: the last digit of field 3 says which."""
        if request.refuse is not None:
            return request.reply(request.refuse)
        if request.code[:2] in PARAMETER_LOADS and request.nac.parameters:
            return self._parameters(request)
        if request.code == LOGON:
            request.terminal.sign_ins += 1
        return request.reply(APPROVED if request.code in (LOGON, ECHO) else NOT_SUPPORTED)

    @staticmethod
    def _parameters(request: NacRequest) -> Message:
        whole, process = request.nac.parameters, request.code[:5]
        half = (len(whole) + 1) // 2
        first = request.code.endswith("0")
        return request.reply(
            APPROVED, {3: process + ("1" if first else "0"), 60: whole[:half] if first else whole[half:]}
        )

    def _mac_fits(self, mti: str, message: Message, raw_body: bytes) -> bool:
        if not self._mac_key or mti not in WITH_MAC:
            return True
        return (
            message.get(64) is not None
            and self._keying.mac(self._mac_key, raw_body[:-BLOCK_BYTES]) == raw_body[-BLOCK_BYTES:]
        )

    def _bare(self, message: Message, code: str, why: str) -> Answer:
        """An answer that echoes what could be read: 89, 03, 30, 88."""
        fields = {n: value for n in (3, 4, 11, 24, 41) if (value := message.get(n)) is not None}
        reply = Message(answer_mti(first_mti(message.mti)), {**fields, 39: code})
        stan = message.get(11) or "0"
        return Answer(self.codec.encode(reply), f"{reply.mti} {code}: {why}", reply, code, message.get(41), int(stan))
