"""The Debian package under a real systemd: installed, upgraded amid an open batch, removed; the journal outlives it."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.stage import MID, TID, TMK
from tests.system.box import HOST, ROOT, why_not
from tests.system.shop import PORT, Shop

pytestmark = pytest.mark.system

KINDS = ("service", "timer")
SETUP = f"posd setup --yes --host {HOST}:{PORT} --tid {TID} --mid {MID} --tmk-file -"
OLD = "0.0.9"
BACKUPS = 's@^  path: ""@  path: /var/backups/posd@; s@^  keys_to: ""@  keys_to: /var/backups/posd-keys@'
LATER_UNITS = [f"posd-{what}{at}.{kind}" for what in ("backup", "verify") for at in ("", "@") for kind in KINDS]
"""What a package of before the backups did not have."""


def package(folder: Path) -> Path:
    done = subprocess.run([ROOT / ".ci/package", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.split()[-1])


def older(deb: Path) -> Path:
    """The same program as the package of an earlier version, without the units that came later."""
    unpacked, old = deb.parent / "unpacked", deb.parent / "older.deb"
    subprocess.run(["dpkg-deb", "-R", deb, unpacked], check=True)
    control = unpacked / "DEBIAN/control"
    version = next(line for line in control.read_text().splitlines() if line.startswith("Version: "))
    control.write_text(control.read_text().replace(version, f"Version: {OLD}"))
    for name in LATER_UNITS:
        (unpacked / "lib/systemd/system" / name).unlink()
    subprocess.run(["dpkg-deb", "-Znone", "--root-owner-group", "-b", unpacked, old], check=True, capture_output=True)
    shutil.rmtree(unpacked)
    return old


@pytest.fixture(scope="module")
def deb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if because := why_not():
        pytest.skip(because)
    if missing := [tool for tool in ("dpkg-buildpackage", "dh_virtualenv") if shutil.which(tool) is None]:
        pytest.skip(f"no {', '.join(missing)} here: apt-get install debhelper dh-virtualenv dpkg-dev")
    return package(tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="module")
def shop(deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A box with nothing of posd on it, and the two packages in /srv."""
    shop = Shop(tmp_path_factory.mktemp("box"), tmp_path_factory.mktemp("acquirer"))
    try:
        shop.box.build()
        for name, file in (("posd.deb", deb), ("older.deb", older(deb))):
            shutil.copy(file, shop.box.disk / "srv" / name)
        shop.box.boot()
        shop.start_host()
        yield shop
    finally:
        shop.close()


def test_the_bill_of_materials_names_what_is_in_it(deb: Path) -> None:
    bill = json.loads((deb.parent / "sbom.cdx.json").read_text())
    lines = (ROOT / ".ci/constraints.txt").read_text().split()
    parts = {f"{part['name']}=={part['version']}".lower().replace("_", "-") for part in bill["components"]}
    assert bill["bomFormat"] == "CycloneDX"
    pinned = {line.lower().replace("_", "-") for line in lines}
    assert {part for part in parts if not part.startswith("posd==")} == pinned


def test_it_does_not_go_over_what_pip_made(shop: Shop) -> None:
    shop.box.shell("mkdir -p /opt/posd; touch /opt/posd/pyvenv.cfg")
    refused = shop.box.typed("dpkg -i /srv/posd.deb")
    assert refused.returncode != 0
    assert "/opt/posd was made by pip: systemctl stop posd; mv /opt/posd /opt/posd.pip" in refused.stderr
    shop.box.shell("mv /opt/posd /opt/posd.pip")


def test_it_is_installed_and_sells(shop: Shop) -> None:
    shop.box.with_network("apt-get install -y --no-install-recommends /srv/older.deb")
    shop.box.shell(SETUP, given=f"{TMK}\n")
    shop.box.shell("cd /etc/systemd/system; rm " + " ".join(name for name in LATER_UNITS if "@" not in name))
    shop.hurry()
    shop.box.until(shop.box.is_ready, "posd to be ready")
    assert shop.box.unit("FragmentPath", "UnitFileState") == ["/lib/systemd/system/posd.service", "enabled"]
    assert not shop.box.shell("find /opt/posd -newer /srv/older.deb -name '*.pyc'")
    shop.sold("12.34")


def test_an_upgrade_in_place_keeps_the_open_batch(shop: Shop) -> None:
    shop.sold("5.00")
    before = shop.box.pid()
    said = shop.box.shell("dpkg -i /srv/posd.deb 2>&1")
    assert "did not start" not in said
    shop.restarted(before)
    assert shop.box.shell("dpkg-query -f '${Version}' -W posd") != OLD
    shop.sold("0.66")
    shop.box.shell("posd settle")
    assert shop.differences() == []
    assert "batch_closed" in shop.kinds()


def test_a_machine_that_was_set_up_before_gets_its_backups(shop: Shop) -> None:
    """By the new package's own units; nothing that was there is replaced."""
    before = shop.box.shell("sha256sum /etc/posd/keys/* /var/lib/posd/tmk/*")
    shop.box.shell(f"sed -i '{BACKUPS}' /etc/posd/posd.yaml; posd check-config /etc/posd/posd.yaml; posd setup --yes")
    for timer in ("posd-backup.timer", "posd-verify.timer"):
        found = shop.box.unit("UnitFileState", "ActiveState", "FragmentPath", of=timer)
        assert found == ["enabled", "active", f"/lib/systemd/system/{timer}"]
    shop.box.shell("systemctl start posd-verify.service; posd backup verify")
    assert shop.box.shell("sha256sum /etc/posd/keys/* /var/lib/posd/tmk/*") == before
    shop.sold("0.77")


def test_removed_and_purged_it_leaves_the_journal(shop: Shop) -> None:
    shop.sold("1.00")
    rows = len(shop.records())
    said = shop.box.shell("dpkg -r posd; dpkg -P posd 2>&1")
    assert "/var/lib/posd stays" in said
    assert shop.box.typed("systemctl is-active posd posd-backup.timer posd-verify.timer").returncode != 0
    assert shop.box.shell("systemctl list-units --failed --plain --no-legend 'posd*'") == ""
    assert shop.box.shell("ls /opt/posd /usr/bin/posd 2>/dev/null", check=False) == ""
    assert len(shop.records()) >= rows
    shop.box.shell("dpkg -i /srv/posd.deb && posd setup --yes")
    shop.box.until(shop.box.is_ready, "posd to be ready")
    shop.sold("2.00")
    shop.box.shell("posd settle")
    assert shop.differences() == []
