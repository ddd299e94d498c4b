"""What an archive run tells while it goes on and when it is over: the same beside the daemon and without one."""

from dataclasses import dataclass, field

from posd.daemon.archive.plan import Plan
from posd.daemon.archive.segment_view import segment_view
from posd.daemon.shown.views import View
from posd.journal.archive import Work
from posd.journal.connect import JOURNAL_FILE
from posd.journal.sqlite import SqliteStore

TELL_EACH_WORKS = 200
"""Works between two words on progress: a few seconds."""


@dataclass(slots=True)
class Progress:
    """Counts works; `longest_ms`: the longest that the journal's writer was held up by one of them."""

    store: SqliteStore
    month: str = ""
    works: int = 0
    rows: int = 0
    longest_ms: float = 0.0
    before_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        self.before_bytes = database_bytes(self.store)

    def done(self, work: Work, took_s: float) -> bool:
        """Note one work; whether it is time for a word."""
        self.works += 1
        self.rows += work.rows
        if work.in_writer:
            self.longest_ms = max(self.longest_ms, took_s * 1000)
        return self.works % TELL_EACH_WORKS == 0

    def view(self, work: Work) -> View:
        return {"month": self.month, "what": work.what, "rows": self.rows}

    def result(self, plan: Plan) -> View:
        """The answer to `posd journal archive`."""
        gone = {cut.month for cut in plan.cuts}
        return {
            "archived": [segment_view(one) for one in self.store.segments if one.month in gone],
            "held": [{"month": held.month, "why": held.why} for held in plan.held],
            "database_bytes_before": self.before_bytes,
            "database_bytes": database_bytes(self.store),
            "gives_room_back": self.store.can_give_back,
            "longest_commit_ms": round(self.longest_ms, 1),
        }


def database_bytes(store: SqliteStore) -> int:
    """The size of the database's file."""
    return (store.folder / JOURNAL_FILE).stat().st_size
