"""What the journal knows of requests that the state has forgotten: which were sent, and the facts of their cards.

It must never say "not sent" of a request that stands in the journal: what left once never leaves again (D6, D33).
"""

from collections.abc import Callable

from posd.errors import KeyTrouble
from posd.security.cards import CardData
from posd.values import RequestId, Tid


class Past:
    """The past of one terminal.

    `sealed_facts` opens the journal's sealed card facts of a request (or None). `highest_request`: the greatest id of
    this terminal's requests in the journal, as Store.highest_request tells it; None: not known.
    """

    def __init__(self, tid: Tid, sealed_facts: Callable[[str], bytes | None], highest_request: str | None) -> None:
        self._sealed_facts = sealed_facts
        self._own_requests, self._highest = f"{tid}/", highest_request

    def card(self, request_id: RequestId) -> CardData | None:
        """The card of a request, opened from the journal; None: it has none. Raises KeyTrouble."""
        facts = self._sealed_facts(request_id)
        return CardData.from_facts(facts) if facts is not None else None

    def was_sent(self, request_id: RequestId) -> bool:
        """The state holds two batches, the journal all of them.

        A terminal counts up, so nearly every request is above all that came before it, and the journal need not be
        asked: no row names an id above the highest, because each one is noted before it is written.
        """
        highest = self._highest
        if highest is not None and request_id > highest and request_id.startswith(self._own_requests):
            return False
        try:
            return self._sealed_facts(request_id) is not None
        except KeyTrouble:
            return True  # its row is there; only the key that sealed it has expired (D29)

    def note(self, request_id: RequestId | None) -> None:
        """A row of this request is about to be written."""
        highest = self._highest
        if request_id is None or highest is None or request_id <= highest:
            return
        if request_id.startswith(self._own_requests):
            self._highest = request_id
