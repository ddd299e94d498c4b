"""Who asks at the JSON door, and what they may: by their token, or on the socket by the kernel's word for their user.

Who can open the socket may do all that a till does: its file's group says who that is. It must never let a token
through that is not of the configuration, nor show or keep one.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from posd.core.allowance import Allowance
from posd.daemon.control.peer import Peer, who_is
from posd.daemon.control.roles import Role
from posd.daemon.station_lane import Denied
from posd.daemon.till.http import Caller, Handler, HttpRequest
from posd.daemon.till.problem import HttpResponse, problem
from posd.security.token import Token, TokenName
from posd.values import NOBODY_KNOWN, Now, Who

OPERATES = frozenset({Role.VIEW, Role.OPERATE})
DOOR = "till"
WRONG_TOKENS_PER_MINUTE = 10
"""So many wrong tokens a minute are explained; more are only told to go away. A right one is never refused."""

RETRY_AFTER_S = 60

Tell = Callable[[Denied], None]
Tokens = tuple[Token, ...]


class TokenGate:
    """Lets in who knows one of the tokens."""

    def __init__(self, tokens: Callable[[], Tokens], now_s: Callable[[], float], tell: Tell) -> None:
        self._tokens, self._now_s, self._tell = tokens, now_s, tell
        self._wrong = Allowance(WRONG_TOKENS_PER_MINUTE)

    def guarding(self, handler: Handler, peer_name: str) -> Handler:
        """`handler` for those who know a token; `peer_name`: where a connection comes from."""

        async def handle(request: HttpRequest) -> HttpResponse:
            scheme, _, presented = request.headers.get("authorization", "").partition(" ")
            found = self._found(presented.strip().encode("latin-1", "replace"))
            if found is None or scheme.lower() != "bearer" or "authorization" in request.repeated:
                return replace(self._refused(bool(presented), peer_name), hangs_up=True)
            return await handler(replace(request, caller=Caller(Who(token=found.name), _roles(found.role))))

        return handle

    def _found(self, presented: bytes) -> TokenName | None:
        """Each is compared, so that the time it takes does not tell which one was nearly right."""
        matching = [token.known for token in self._tokens() if token.matches(presented)]
        return matching[0] if matching else None

    def _refused(self, given: bool, peer_name: str) -> HttpResponse:
        if given:  # none at all is a client that has to learn how, not an attempt
            self._tell(Denied(NOBODY_KNOWN, DOOR, f"a token, from {peer_name}", ""))
        if given and self._wrong.unsaid(DOOR, Now(0, self._now_s())) is None:
            text = "too many wrong tokens; look at what you send, then wait a minute"
            retry = (("retry-after", str(RETRY_AFTER_S)),)
            return problem(429, "too_many_wrong_tokens", text, where="Authorization", headers=retry)
        text = "send the header 'Authorization: Bearer TOKEN' with a token of till.token_file or till.tokens"
        challenge = (("www-authenticate", 'Bearer realm="posd"'),)
        return problem(401, "no_token", text, where="Authorization", headers=challenge)


def _roles(role: str) -> frozenset[Role]:
    return OPERATES if role == Role.OPERATE.value else frozenset({Role.VIEW})


def of_the_socket(handler: Handler, peer: Peer) -> Handler:
    """`handler` for whoever could open the socket; their name is asked for in a thread, once."""
    known: list[Who] = []

    async def handle(request: HttpRequest) -> HttpResponse:
        if not known:
            known.append(await asyncio.to_thread(who_is, peer))
        return await handler(replace(request, caller=Caller(known[0], OPERATES)))

    return handle
