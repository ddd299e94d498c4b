"""The benchmark's arithmetic, parsers and tables: pure, without a process or a clock."""

import asyncio
from pathlib import Path

import pytest

from posd.iso8583.unionpay import UNIONPAY
from simulators.bench.figures import BenchTrouble, Figure, Target, median, number, percentile, table
from simulators.bench.load import Answered, Load, Member, Pass, Pool, Till, judge
from simulators.bench.past import OPEN_SALES, SALES_PER_BATCH, batches
from simulators.bench.process_facts import cpu_seconds, file_system_of, resident_bytes, syncs_by_file
from simulators.bench.report import profile
from simulators.bench.sampled import stack_of
from simulators.crypto import new_keys
from simulators.terminal.core import Terminal

MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:25 / /dev/shm rw shared:9 - tmpfs tmpfs rw
31 22 0:26 / /mnt/a\\040b rw - tmpfs tmpfs rw
32 30 254:1 / /dev/shm/disk rw - xfs /dev/vdb rw
"""

TRACE = """\
71  1000.000001 fdatasync(9</p/state/journal/journal.db-wal>) = 0
72  1000.200000 fdatasync(9</p/state/journal/journal.db-wal> <unfinished ...>
71  1000.300000 fsync(7</p/state/journal/anchor>) = 0
72  1000.400000 <... fdatasync resumed>) = 0
72  1001.500000 fdatasync(9</p/state/journal/journal.db-wal>) = 0
71  1001.600000 +++ exited with 0 +++
"""


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1), (0.505, 51)])
def test_a_percentile_is_the_nearest_rank(share: float, expected: int) -> None:
    assert percentile(list(range(100, 0, -1)), share) == expected


def test_of_two_middle_values_the_median_is_the_lower() -> None:
    assert median([4.0, 1.0, 3.0, 2.0]) == 2.0
    with pytest.raises(ValueError, match="nothing"):
        median([])


def test_a_miss_is_said_with_its_size() -> None:
    assert Target("at most", 2.1).verdict(2.1) == "reached"
    assert Target("at most", 0.5).verdict(0.75) == "missed by 50 %"
    assert Target("at least", 0.7).verdict(0.35) == "missed by 50 %"
    assert Target("at least", 0.7).verdict(0.7) == "reached"


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.1434, "0.143"), (2.07, "2.07"), (12.34, "12.3"), (1480.2, "1 480")]
)
def test_numbers_keep_the_digits_that_matter(value: float, text: str) -> None:
    assert number(value) == text


def test_the_table_is_aligned_and_says_what_was_not_measured() -> None:
    figures = [Figure("one", 2.0, "s", Target("at most", 1.0)), Figure("other", None, "/txn", None, "no strace")]
    heading, one, other = table(figures).splitlines()
    assert one.index("≤ 1") == heading.index("target")
    assert "missed by 100 %" in one
    assert "not measured" in other
    assert figures[1].as_dict()["value"] is None


def test_two_stretches_are_one_with_all_their_times() -> None:
    joined = Pass(1.0, (1, 2), 1).joined(Pass(3.0, (3, 4, 5, 6), 2))
    assert (joined.per_second, joined.took_ns, joined.late) == (1.5, (1, 2, 3, 4, 5, 6), 3)


def test_cpu_time_is_read_past_a_name_with_blanks_and_brackets() -> None:
    line = "7 (py) thon (x) S " + " ".join(["0"] * 10) + " 250 50 0 0 20 0"
    assert cpu_seconds(line) == pytest.approx(3.0)


def test_resident_memory_is_in_bytes() -> None:
    assert resident_bytes("Name:\tpython\nVmHWM:\t  900 kB\nVmRSS:\t  512 kB\n") == 512 * 1024


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/tmp", "ext4"),
        ("/dev/shm/x", "tmpfs"),
        ("/dev/shm/disk/x", "xfs"),
        ("/mnt/a b/c", "tmpfs"),
        ("/dev/shmx", "ext4"),
    ],
)
def test_the_innermost_mount_says_where_a_folder_lies(path: str, kind: str) -> None:
    assert file_system_of(Path(path), MOUNTS) == kind


def test_syncs_are_counted_by_file_where_they_begin_and_only_within_the_pass() -> None:
    assert syncs_by_file(TRACE, 1000.0, 1001.0) == {"journal.db-wal": 2, "anchor": 1}
    assert syncs_by_file(TRACE, 1001.0, 1002.0) == {"journal.db-wal": 1}


def test_a_past_is_whole_batches_and_an_open_one() -> None:
    planned = batches(2 * SALES_PER_BATCH + 40 + OPEN_SALES)
    assert [(batch.sales, batch.closed) for batch in planned] == [
        *[(SALES_PER_BATCH, True)] * 2,
        (40, True),
        (OPEN_SALES, False),
    ]
    assert [(batch.sales, batch.closed) for batch in batches(9)] == [(9, False)]


def test_a_profile_counts_each_function_once_a_sample() -> None:
    text = profile({"event loop": {"a;b;a": 3, "a;c": 1}})
    assert " 75.0%  b" in text.partition("with what they called")[2]
    assert "100.0%  a" in text.partition("with what they called")[2]
    assert " 75.0%  a" in text.partition("with what they called")[0]


def test_a_stack_is_told_from_the_outermost_frame_inwards() -> None:
    def inner() -> str:
        import sys

        return stack_of(sys._getframe())

    names = inner().split(";")
    assert names[-1].endswith("inner")
    assert names[-2].endswith("test_a_stack_is_told_from_the_outermost_frame_inwards")


def terminal() -> Terminal:
    return Terminal("10000001", "898100012345678", keys=new_keys(1, "10000001", 1, "003"))


def test_a_prepared_sale_is_the_terminals_own() -> None:
    """D37: the quick template gives byte for byte what the terminal would have sent."""
    fast, slow = Member(terminal()), terminal()
    slow.stan = fast.terminal.stan
    from simulators.bench.load import AMOUNT_MINOR, CARD

    for _ in range(3):
        assert fast.sale().frame.endswith(slow.sale(CARD, AMOUNT_MINOR).body)


def answered(fields: dict[int, str]) -> Answered:
    from posd.framing.tpdu import Envelope, join
    from posd.iso8583.message import Message
    from simulators.terminal.client import HEADER, TPDU

    member = Member(Terminal("10000001", "898100012345678"))
    sale = member.sale()
    message = Message("0210", {11: f"{sale.stan:06d}", 39: "00", 41: "10000001"} | fields)
    return Answered(sale, join(Envelope(TPDU, b"", HEADER), UNIONPAY.encode(message)), 1)


def test_only_the_approval_of_its_own_sale_counts() -> None:
    judge(answered({}))
    with pytest.raises(BenchTrouble, match="answered 51"):
        judge(answered({39: "51"}))
    with pytest.raises(BenchTrouble, match="another one's"):
        judge(answered({11: "000777"}))


def test_a_pool_that_is_used_up_is_said() -> None:
    with pytest.raises(BenchTrouble, match="used up"):
        Pool(iter(())).take()


def test_a_load_that_is_cut_off_is_no_result() -> None:
    async def cut() -> None:
        async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.close()

        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        load = Load(server.sockets[0].getsockname()[1])
        try:
            await load.connect(Pool(iter([Member(terminal())])), 1)
            with pytest.raises(BenchTrouble, match="cut"):
                await load.run(0.1)
        finally:
            load.close()
            server.close()

    asyncio.run(cut())


def test_a_terminal_id_is_left_after_its_sales() -> None:
    """D22: no id comes near the marks."""
    first, second = Member(terminal()), Member(Terminal("10000002", "898100012345678"))
    till = Till(Pool(iter([first, second])))
    first.left = 2
    till.prepare(3)
    assert [sale.member for sale in till._ready] == [first, first, second]
