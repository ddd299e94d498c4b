"""The terminal on a TCP line: one step at a time, each with its result.

`TerminalClient` is what tests and the line-driven program use. It never raises for what a line or a host does:
no answer, a cut line and nonsense are outcomes.
"""

import asyncio
import contextlib
from dataclasses import dataclass, field

from posd.errors import CannotEncode, MalformedMessage
from posd.framing.length_prefix import LengthPrefixed, with_length
from posd.framing.tpdu import Envelope, join, split
from simulators.terminal import matrix
from simulators.terminal.core import Sent, Terminal
from simulators.terminal.steps import Step, build

Result = dict[str, object]

TPDU = bytes.fromhex("6000030000")
HEADER = bytes.fromhex("603100310100")
READ_BYTES = 65_536
TIMEOUT_S = 30.0
NO_ANSWER, LINE_CUT, NO_LINE, BAD_STEP = "no_answer", "line_cut", "no_line", "bad_step"


@dataclass(slots=True, repr=False)
class TerminalClient:
    """One terminal connected to HOST:PORT. It connects at the first step and again after the line was cut."""

    terminal: Terminal
    host: str
    port: int
    timeout_s: float = TIMEOUT_S
    tpdu: bytes = TPDU
    header: bytes = HEADER
    _reader: asyncio.StreamReader | None = None
    _writer: asyncio.StreamWriter | None = None
    _frames: LengthPrefixed = field(default_factory=LengthPrefixed)
    _waiting: list[bytes] = field(default_factory=list)
    _bytes: dict[int, Sent] = field(default_factory=dict)

    async def do(self, step: Step) -> Result:
        """One step of the script; the result line that belongs to it."""
        try:
            timeout_s = float(str(step.get("timeout_s") or self.timeout_s))
            wait_s = float(str(step.get("s", 1)))
        except ValueError:
            return {"do": step.get("do"), "outcome": BAD_STEP, "why": "seconds expected"}
        match step.get("do"):
            case "wait_s":
                await asyncio.sleep(wait_s)
                return {"do": "wait_s", "outcome": "done"}
            case "reconnect":
                await self.close()
                return {"do": "reconnect", "outcome": "done" if await self._connect(timeout_s) else NO_LINE}
            case "raw":
                return await self._raw(str(step.get("hex", "")), timeout_s)
            case "settle":
                return await self._settle(timeout_s)
            case "issuer_unproven":
                return self._noted(step)
            case _:
                return await self._one(step, timeout_s)

    async def close(self) -> None:
        """Cut the line."""
        writer, self._writer, self._reader = self._writer, None, None
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _one(self, step: Step, timeout_s: float) -> Result:
        try:
            sent = self._build(step)
        except (KeyError, ValueError, TypeError, CannotEncode) as trouble:
            why = f"{type(trouble).__name__} in {sorted(step)}"
            return {"do": step.get("do"), "outcome": BAD_STEP, "why": why}
        if sent is None:
            return {"do": step.get("do"), "outcome": BAD_STEP, "why": "unknown step"}
        return await self.exchange(sent, timeout_s)

    def _build(self, step: Step) -> Sent | None:
        if step.get("do") == "repeat":
            return self._bytes[int(str(step["stan"]))]
        return build(self.terminal, step)

    def _noted(self, step: Step) -> Result:
        """A step that changes the terminal's log and sends nothing."""
        try:
            matrix.issuer_unproven(self.terminal, int(str(step["of_stan"])))
        except (KeyError, ValueError):
            return {"do": step.get("do"), "outcome": BAD_STEP, "why": "of_stan: a logged trace expected"}
        return {"do": step.get("do"), "outcome": "done"}

    async def exchange(self, sent: Sent, timeout_s: float) -> Result:
        """Send one request and wait for its answer; frames that answer something else are counted as strays."""
        if sent.message.mti != "0400":
            self._bytes[sent.stan] = sent
        frame = join(Envelope(self.tpdu, b"", self.header), sent.body)
        result = self.terminal.result(sent, NO_ANSWER)
        if not await self._connect(timeout_s):
            return result | {"outcome": NO_LINE}
        strays = 0
        try:
            async with asyncio.timeout(timeout_s):
                self._write(with_length(frame))
                while (body := await self._next()) is not None:
                    answer = self._answer(sent, body)
                    if answer is not None:
                        return answer | ({"strays": strays} if strays else {})
                    strays += 1
        except TimeoutError:
            return result | ({"strays": strays} if strays else {})
        await self.close()
        return result | {"outcome": LINE_CUT}

    def _answer(self, sent: Sent, frame: bytes) -> Result | None:
        try:
            _, body = split(frame, len(self.header))
            message = self.terminal.codec.decode(body)
        except MalformedMessage:
            return None
        return self.terminal.take(sent, message, body) if self.terminal.answers(sent, message) else None

    async def _settle(self, timeout_s: float) -> Result:
        """Owed script results, 0500, uploads, the end message: the outcome of the totals, or of what failed."""
        for stan in [stan for stan, one in self.terminal.log.items() if one.script == "owed"]:
            told = await self.exchange(matrix.script_result(self.terminal, stan), timeout_s)
            if told["outcome"] != "approved":
                return told | {"do": "settle", "outcome": f"script_{told['outcome']}"}
        totals = await self.exchange(self.terminal.settle(), timeout_s)
        if totals["outcome"] not in ("balanced", "unbalanced"):
            return totals
        uploaded = 0
        for upload in list(self.terminal.uploads()):
            done = await self.exchange(upload, timeout_s)
            if done["outcome"] != "approved":
                return totals | {"outcome": f"upload_{done['outcome']}", "code": done["code"]}
            uploaded += 1
        end = await self.exchange(self.terminal.end(), timeout_s)
        if end["outcome"] != "approved":
            return totals | {"outcome": f"end_{end['outcome']}", "code": end["code"]}
        return totals | {"code": "00", "uploads": uploaded, "next_batch": self.terminal.batch}

    async def _raw(self, text: str, timeout_s: float) -> Result:
        """Bytes as they are, length prefix included; any frame that comes back is an answer."""
        try:
            data = bytes.fromhex(text)
        except ValueError:
            return {"do": "raw", "outcome": BAD_STEP, "why": "hex expected"}
        if not await self._connect(timeout_s):
            return {"do": "raw", "outcome": NO_LINE}
        try:
            async with asyncio.timeout(timeout_s):
                self._write(data)
                frame = await self._next()
        except TimeoutError:
            return {"do": "raw", "outcome": NO_ANSWER}
        if frame is None:
            await self.close()
            return {"do": "raw", "outcome": LINE_CUT}
        return {"do": "raw", "outcome": "answered", "bytes": len(frame), **self._code_of(frame)}

    def _code_of(self, frame: bytes) -> Result:
        try:
            message = self.terminal.codec.decode(split(frame, len(self.header))[1])
        except MalformedMessage:
            return {}
        return {"mti": message.mti, "code": message.get(39)}

    async def _connect(self, timeout_s: float) -> bool:
        if self._writer is not None and not self._writer.is_closing() and not self._at_end():
            return True
        await self.close()
        try:
            async with asyncio.timeout(timeout_s):
                self._reader, self._writer = await asyncio.open_connection(self.host, self.port)
        except (OSError, TimeoutError):
            return False
        self._frames, self._waiting = LengthPrefixed(), []
        return True

    def _at_end(self) -> bool:
        return self._reader is None or self._reader.at_eof()

    def _write(self, data: bytes) -> None:
        assert self._writer is not None
        self._writer.write(data)

    async def _next(self) -> bytes | None:
        """The next whole frame; None when the line is cut or speaks nonsense."""
        assert self._reader is not None
        while not self._waiting:
            try:
                data = await self._reader.read(READ_BYTES)
                if not data:
                    return None
                self._waiting += self._frames.feed(data)
            except (OSError, MalformedMessage):
                return None
        return self._waiting.pop(0)
