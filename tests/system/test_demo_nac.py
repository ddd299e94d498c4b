"""`posd demo --profile nac` for real: three processes, real sockets, kill -9, 95, 77, and an audit in agreement."""

import json
from pathlib import Path

import pytest

from tests.system.test_demo import demo

pytestmark = pytest.mark.system


@pytest.mark.parametrize("seed", [2, 7])
def test_a_nac_shops_days_agree_to_the_cent(seed: int, tmp_path: Path) -> None:
    keep = tmp_path / "kept"
    done = demo("--profile", "nac", "--seed", str(seed), "--json", "--keep", str(keep))
    assert done.returncode == 0, done.stderr
    audit = json.loads(done.stdout)
    assert audit["agreed"]
    assert audit["profile"] == "nac"
    assert [check["findings"] for check in audit["checks"] if not check["good"]] == []
    assert all(check["looked_at"] for check in audit["checks"])
    whys = {why for row in audit["transactions"] for why in row["why_unknown"]}
    assert {"timeout", "link", "restart"} <= whys
    assert [batch["state"] for batch in audit["batches"]] == ["closed"] * 4 + ["open"]
    codes = [(one["code"], one["end_code"]) for batch in audit["batches"] for one in batch["settlements"]]
    assert codes == [("00", None), ("95", "00"), ("95", "77"), ("00", None)]
    kinds = {row["kind"] for row in audit["transactions"] if row["journal"] == "approved"}
    advices = {"completion_notice", "offline_sale", "adjust", "tip"}
    assert kinds == {"sale", "void", "refund", "preauth"} | advices
    for words in ("stuck", "77 to 960000", "balanced with posd", "caught up"):
        assert words in done.stderr
    kept = {path.name for path in keep.rglob("*")}
    assert {"posd.yaml", "journal.db", "books.json", "posd.log", "terminal.log"} <= kept
