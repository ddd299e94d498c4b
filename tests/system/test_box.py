"""posd under a real systemd, installed as the README says. One box; each test leaves posd running for the next."""

import itertools
import json
import re
import shutil
import subprocess
from typing import Any

import pytest

from posd.journal.reader import READERS
from tests.daemon.stage import TMK
from tests.system.box import ROOT
from tests.system.shop import POSD, Shop, commands_of_the_readme, split

pytestmark = pytest.mark.system

README = ROOT / "README.md"
SEALED = "/var/lib/posd/tmk/10000001.0.tmk"
TIMERS = ("posd-backup.timer", "posd-verify.timer")
NEVER_SYNCED = """[Unit]
DefaultDependencies=no
Before=time-sync.target
Wants=time-sync.target
[Service]
Type=oneshot
ExecStart=/bin/sleep infinity
[Install]
WantedBy=multi-user.target
"""


@pytest.fixture(autouse=True)
def ready(shop: Shop) -> None:
    shop.box.shell("systemctl reset-failed posd; systemctl start posd")
    shop.box.until(shop.box.is_ready, "posd to be ready")


def test_the_readme_makes_a_running_hardened_backed_up_service(shop: Shop) -> None:
    """Each of its commands was typed into the box, and nothing else was done to it."""
    _, typed = split(commands_of_the_readme())
    assert list(shop.said) == typed
    doctor = shop.said["posd doctor"]
    failed = [line for line, done in shop.said.items() if done.returncode != 0 and done is not doctor]
    assert failed == []
    found = [line for line in doctor.stdout.splitlines() if line.startswith("! ")]
    assert [line for line in found if "in step" not in line] == []  # the clock is that of the machine around the box
    assert doctor.returncode == bool(found)
    (hardened,) = (done.stdout for line, done in shop.said.items() if "systemd-analyze" in line)
    exposures = {unit: float(level) for unit, level in re.findall(r"for (\S+): ([0-9.]+) OK", hardened)}
    assert exposures.keys() == {f"{name}.service" for name in ("posd", "posd-backup", "posd-verify")}
    assert max(exposures.values()) <= 1.5
    assert shop.box.unit("UnitFileState", "Type", "User") == ["enabled", "notify", "posd"]
    shop.sold("12.34")
    assert shop.differences() == []


def test_the_readme_makes_a_backup_that_systemd_repeats_and_proves(shop: Shop) -> None:
    (timers,) = (done.stdout for line, done in shop.said.items() if "list-timers" in line)
    assert {name for name in ("posd-backup.timer", "posd-verify.timer") if name in timers} == set(TIMERS)
    for timer in TIMERS:
        assert shop.box.unit("UnitFileState", "ActiveState", of=timer) == ["enabled", "active"]
    for service in ("posd-backup.service", "posd-verify.service"):
        said = shop.box.shell(f"journalctl --quiet --output=cat --unit={service}")
        assert "Deactivated successfully" in said
    listed, verified = shop.said["posd backup list"].stdout, shop.said["posd backup verify"].stdout
    assert len(re.findall(r"\d{8}T\d{9}Z-\d{9}", listed)) == 1
    assert re.findall(r"\d{8}T\d{9}Z-\d{9}", verified)


def test_d29_its_services_make_and_prove_backups(shop: Shop) -> None:
    """As posd's user, inside the sandbox; a finding fails the unit."""
    shop.sold("1.50")
    shop.box.shell("systemctl start posd-backup.service")
    shop.box.shell("systemctl start posd-verify.service")
    listed = json.loads(shop.box.typed(f"{POSD} backup list --json").stdout)
    assert listed["good"]
    assert len(listed["backups"]) == 2  # the first is setup's own
    made = shop.box.disk / "var/backups/posd" / listed["backups"][-1]["name"]
    assert {path.name for path in made.iterdir()} == {"manifest.json", "journal.db", "anchor"}
    assert len(list((shop.box.disk / "var/backups/posd-keys").glob("*.key"))) > 0
    assert shop.box.shell("find /var/backups/posd -user posd -name manifest.json").count("manifest") == 2
    (made / "anchor").write_bytes(b"\0" * 8192)
    shop.box.shell("systemctl start posd-verify.service || true")
    assert shop.box.shell("systemctl is-failed posd-verify.service").strip() == "failed"
    assert "backup_unproven" in shop.box.typed("posd doctor --json").stdout
    shop.box.shell("systemctl start posd-backup.service; systemctl start posd-verify.service")


def test_the_doctor_finds_nothing_and_then_what_is_wrong(shop: Shop) -> None:
    def codes() -> tuple[set[str], set[str]]:
        done = shop.box.typed("posd doctor --json")
        found = json.loads(done.stdout)["findings"]
        wrong = {one["code"] for one in found if one["level"] in ("warning", "alert")}
        assert done.returncode == bool(wrong)
        return wrong - {"clock_free"}, {one["code"] for one in found}  # whether there is a time service is not ours

    shop.sold("0.50")
    wrong, found = codes()
    assert wrong == set()
    healthy = {
        "backup_good",
        "keys_good",
        "service_good",
        "hardening_good",
        "route_up",
        "answer_good",
        "attention_good",
    }
    assert healthy <= found
    shop.box.shell(
        f"chmod 640 {SEALED}; chown nobody /etc/posd/keys/machine.key; systemctl stop posd; chmod 755 /var/lib/posd"
    )
    try:
        wrong, found = codes()
        assert wrong == {"key_bad", "key_of_another", "daemon_down", "state_open"}
        assert "route_reachable" in found
    finally:
        shop.box.shell(f"chmod 600 /etc/posd/keys/* {SEALED}; chown root /etc/posd/keys/*; chmod 700 /var/lib/posd")
    shop.drop_in(
        "weak",
        "[Service]\nNoNewPrivileges=no\nProtectSystem=no\nProtectHome=no\nSystemCallFilter=\n"
        "CapabilityBoundingSet=~CAP_SYS_TIME\nWatchdogSec=0\n",
    )
    try:
        shop.box.shell("systemctl start posd")
        assert codes()[0] == {"hardening_weak", "no_watchdog"}
    finally:
        shop.box.shell(
            "rm /run/systemd/system/posd.service.d/weak.conf; systemctl daemon-reload; systemctl restart posd"
        )


def test_a_second_setup_changes_nothing(shop: Shop) -> None:
    before = shop.box.shell("sha256sum /etc/posd/posd.yaml /etc/posd/keys/*"), shop.box.pid()
    again = shop.box.shell("posd setup --yes")
    assert "done " not in again
    assert (shop.box.shell("sha256sum /etc/posd/posd.yaml /etc/posd/keys/*"), shop.box.pid()) == before
    assert shop.box.typed("posd setup --yes --host 10.0.0.2:5000").returncode == 2
    assert shop.box.typed("posd setup --yes --tmk-file -", given=TMK).returncode == 2


def test_setup_asks_on_a_terminal_and_shows_no_key(shop: Shop) -> None:
    said = shop.box.conversation(
        "posd setup --instance south --listen 127.0.0.1:7002",
        ("host", "10.0.0.1:5000"),
        ("Terminal id", "20000001"),
        ("Merchant id", "898100012345678"),
        ("Settle at", ""),
        ("Time zone", ""),
        ("master key", TMK),
        ("again", TMK),
        ("[y/n]", "y"),
    )
    try:
        assert "check value 08D7B4FB" in said
        assert TMK not in said
        assert shop.box.unit("ActiveState", of="posd@south") == ["active"]
    finally:
        shop.box.shell("systemctl disable --now posd@south")


def test_systemd_has_nothing_to_say_against_the_installed_units(shop: Shop) -> None:
    """With their drop-ins, and the timers."""
    for unit in ("posd.service", "posd-backup.service", "posd-verify.service", *TIMERS):
        done = shop.box.typed(f"systemd-analyze verify --man=no {unit}")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), unit


def test_it_is_ready_only_when_the_doors_are_up(shop: Shop) -> None:
    """And the status line tells the day's state."""
    connect = "exec 3<>/dev/tcp/127.0.0.1/7000"
    shop.box.shell(f"systemctl restart posd && bash -c '{connect}' && {POSD} status --json; test $? -le 1")
    assert "reversals owed" in shop.box.unit("StatusText")[0]


def test_a_door_that_is_taken_is_never_ready_and_not_tried_again(shop: Shop) -> None:
    shop.box.shell("systemctl stop posd")
    taken = shop.box.beside("http.server", "7000", "--bind", "127.0.0.1")
    try:
        shop.box.until(lambda: not shop.box.typed("bash -c 'exec 3<>/dev/tcp/127.0.0.1/7000'").returncode, "the port")
        assert shop.box.typed("systemctl start posd").returncode != 0
        found = shop.box.unit("ActiveState", "ExecMainStatus", "NRestarts")
        assert found == ["failed", "2", "0"]
    finally:
        taken.kill()
        taken.wait()


def test_an_address_that_comes_later_is_waited_for(shop: Shop) -> None:
    """As after a boot: systemd starts posd again until it is there."""
    shop.box.shell("cp -p /etc/posd/posd.yaml /root/good")
    try:
        shop.box.shell(
            'sed -i \'s/^  listen: "127.0.0.1:7000"/  listen: ["127.0.0.1:7000", "10.0.0.7:7000"]/; '
            "s/^    mac: none/    mac: required/' /etc/posd/posd.yaml"
        )
        assert "10.0.0.7:7000 cannot be listened on" in shop.box.typed("posd check-config /etc/posd/posd.yaml").stderr
        assert shop.box.typed("systemctl restart posd").returncode != 0
        assert shop.box.unit("ExecMainStatus") == ["3"]
        shop.box.gets_the_address("10.0.0.7")
        shop.box.until(shop.box.is_ready, "posd with its address")
        shop.box.shell("bash -c 'exec 3<>/dev/tcp/10.0.0.7/7000'")
    finally:
        shop.box.shell("cp -p /root/good /etc/posd/posd.yaml; systemctl reset-failed posd; systemctl restart posd")


def test_it_ends_in_order(shop: Shop) -> None:
    shop.box.shell("systemctl stop posd")
    assert shop.box.unit("ActiveState", "Result") == ["inactive", "success"]
    assert [line["event"] for line in shop.box.log()][-1] == "stopped"


def test_d35_a_reload_takes_what_it_can_and_refuses_the_impossible(shop: Shop) -> None:
    """posd runs on, by the same process; a restart refuses an impossible file, once."""
    pid = shop.box.pid()

    def reloaded(edit: str) -> dict[str, Any]:
        seen = len(shop.box.log())
        shop.box.shell(f"{edit}; systemctl reload posd")
        shop.box.until(lambda: any("settings_" in line["event"] for line in shop.box.log()[seen:]), "the reload")
        shop.box.until(shop.box.is_ready, "posd to be ready again")
        assert shop.box.pid() == pid
        return next(line for line in shop.box.log()[seen:] if "settings_" in line["event"])

    shop.box.shell("cp -p /etc/posd/posd.yaml /root/good")
    try:
        said = reloaded(
            "sed -i 's/hold_max_s: 900/hold_max_s: 901/; s/connections_max: 64/connections_max: 63/' "
            "/etc/posd/posd.yaml"
        )
        assert (said["event"], said["at_once"]) == ("settings_read", ["settlement.hold_max_s"])
        assert set(said["restart_needed"]) == {"host.connections_max", "door.connections_max"}
        said = reloaded("echo 'version: 2' > /etc/posd/posd.yaml")
        assert said["event"] == "settings_refused"
        assert said["because"].startswith("/etc/posd/posd.yaml:1:1: ")
        shop.box.shell("cp -p /etc/posd/posd.yaml /root/bad; cp -p /root/good /etc/posd/posd.yaml")
        assert "settings_refused" in {one["code"] for one in shop.status()["findings"]}
        shop.box.shell("cp -p /root/bad /etc/posd/posd.yaml")
        shop.sold("1.00")
        assert shop.box.typed("systemctl restart posd").returncode != 0
        assert shop.box.unit("ActiveState", "ExecMainStatus", "NRestarts") == ["failed", "2", "0"]
    finally:
        shop.box.shell("cp -p /root/good /etc/posd/posd.yaml")


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace here: apt-get install strace")
def test_a_loop_that_hangs_is_ended_by_the_watchdog(shop: Shop) -> None:
    """The process lives and is scheduled; only its loop gets no further: each wait for events takes 6 s."""
    pid = shop.box.pid()
    hang = ["-qq", "-e", "inject=epoll_wait:delay_enter=6000000", "-p", str(shop.box.from_here(pid))]
    with subprocess.Popen(["strace", "-o", "/dev/null", *hang], stderr=subprocess.DEVNULL) as strace:
        try:
            shop.restarted(pid)
        finally:
            strace.kill()
    assert shop.box.unit("Result") == ["success"]
    ended = shop.box.shell("journalctl --quiet --output=cat --unit=posd --grep='Watchdog timeout'")
    assert "Watchdog timeout" in ended
    shop.sold("1.99")


def test_a_posd_that_is_stopped_is_ended_by_the_watchdog(shop: Shop) -> None:
    pid = shop.box.pid()
    shop.box.shell(f"kill -STOP {pid}")
    shop.restarted(pid)
    said = shop.box.shell("journalctl --quiet --output=cat --unit=posd --grep='Watchdog timeout'")
    assert "Watchdog timeout" in said
    shop.sold("2.00")


def test_a_storm_of_kills_stays_within_its_limits_and_never_ends_posd(shop: Shop) -> None:
    """Each start waits for RestartSec, by systemd's own clock; there is no number of them after which it gives up."""
    shop.sold("3.00")
    starts = [int(shop.box.unit("ExecMainStartTimestampMonotonic")[0])]
    for _ in range(4):
        pid = shop.box.pid()
        shop.box.shell(f"kill -KILL {pid}")
        shop.restarted(pid)
        starts.append(int(shop.box.unit("ExecMainStartTimestampMonotonic")[0]))
    gaps_us = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert min(gaps_us) >= 1_000_000
    assert shop.box.unit("Result", "StartLimitIntervalUSec") == ["success", "0"]
    shop.sold("3.01")
    assert shop.differences() == []


def test_keys_are_readable_nowhere_but_in_the_service(shop: Shop) -> None:
    pid = shop.box.pid()
    files = "/etc/posd/keys/machine.key"
    copies = "/run/credentials/posd.service/keys_machine.key"
    assert shop.box.typed(f"cat {files} {copies}", user="nobody").stdout == ""
    assert shop.box.typed(f"cat {files}", user="posd").stdout == ""
    assert shop.box.typed(f"touch {copies}", user="posd").returncode != 0
    seen = shop.box.shell(f"tr '\\0' '\\n' < /proc/{pid}/environ; tr '\\0' ' ' < /proc/{pid}/cmdline")
    secrets = [line for line in shop.box.shell(f"cat {files}").split() if line]
    assert secrets
    assert TMK not in shop.box.shell(f"cat {SEALED}").upper()
    assert shop.box.typed(f"cat {SEALED}", user="nobody").stdout == ""
    assert [secret for secret in secrets if secret in seen] == []
    assert [secret for secret in secrets if secret in shop.box.shell("journalctl --quiet --unit=posd")] == []


def test_the_machine_key_is_rotated_while_the_service_goes_on(shop: Shop) -> None:
    """By root, who owns the file; the service gets the new key by its socket, and as a credential at its next start."""
    pid, before = shop.box.pid(), shop.box.shell("cat /etc/posd/keys/machine.key")
    said = shop.box.shell("posd keys rotate --by 'Li Na'")
    assert "was replaced by" in said
    assert shop.box.pid() == pid
    shop.sold("3.50")
    assert shop.box.shell("ls /etc/posd/keys").split() == ["machine.key"]
    assert shop.box.shell("cat /etc/posd/keys/machine.key") != before
    shop.box.shell("systemctl restart posd; posd journal verify")
    shop.sold("3.51")
    assert "Li Na" in shop.box.shell("posd journal show --limit 1000 --json")
    owners = set(shop.box.shell("stat -c %U:%a /var/lib/posd/tmk/* /var/lib/posd/keys/*").split())
    assert owners == {"posd:600"}
    assert shop.differences() == []


def test_a_tmk_is_loaded_beside_a_stopped_service_and_belongs_to_it(shop: Shop) -> None:
    shop.box.shell(
        "systemctl stop posd; umask 077; echo 0123456789ABCDEFFEDCBA9876543210 > /root/a; "
        "echo 1A2A4C4C5E5E707083A2B5C4D5E6F701 > /root/b"
    )
    load = "posd keys load --tid 10000001 --index 1 --component-file /root/a --by 'Li Na' --component-file /root/b"
    assert "check value 15BEB577" in shop.box.shell(f"{load} --by 'Wang Wei' --check-value 15BEB5")
    assert shop.box.shell("stat -c %U:%a /var/lib/posd/tmk/10000001.1.tmk").strip() == "posd:600"
    shop.box.shell("systemctl start posd")
    shop.box.until(shop.box.is_ready, "posd to be ready")
    assert "15BEB577" in shop.box.shell("posd keys list")
    loaded = [json.loads(row.payload) for row in shop.records() if row.kind == "tmk_loaded"][-1]
    assert (loaded["by"], loaded["asked_by"]) == (["Li Na", "Wang Wei"], "root, uid 0")
    shop.box.shell("posd keys remove --tid 10000001 --index 1 --by 'Li Na' --reason 'a try'")


def test_a_tmk_in_the_clear_is_taken_over_as_the_changelog_says(shop: Shop) -> None:
    """Stop posd, remove the setting, load the key or hand the old file to setup, start posd, compare, destroy."""
    old, config = "/etc/posd/keys/10000001.tmk", "/etc/posd/posd.yaml"
    name, remove = f"sed -i 's|^    tmk_file: .*|    tmk_file: {old}|' {config}", f"sed -i '/^    tmk_file:/d' {config}"
    begin = f"systemctl stop posd; cp {config} /root/posd.yaml; rm {SEALED}; {name}; umask 077; echo {TMK} > {old}"
    shop.box.shell(begin)
    for command in (f"posd check-config {config}", "posd keys list", f"posd setup --tmk-file {old}"):
        refused = shop.box.typed(command)
        assert refused.returncode == 2
        assert "remove tmk_file and run: posd keys load --tid 10000001" in refused.stderr
    half = "1A2A4C4C5E5E707083A2B5C4D5E6F701"
    other = f"{int(TMK, 16) ^ int(half, 16):032X}"
    files = "--component-file /root/a --by 'Li Na' --component-file /root/b --by 'Wang Wei' --any-parity"
    shop.box.shell(
        f"{remove}; umask 077; echo {half} > /root/a; echo {other} > /root/b; posd keys load --tid 10000001 {files}"
    )
    shop.box.shell("systemctl start posd")
    shop.sold("3.60")
    shop.box.shell(f"{begin}; {remove}")
    assert "08D7B4FB" in shop.box.shell(f"posd setup --tmk-file {old}")
    shop.sold("3.61")
    assert "08D7B4FB" in shop.box.shell("posd keys list")
    assert shop.box.shell(f"stat -c %U:%a {SEALED}") == "posd:600"
    shop.box.shell(f"shred -u {old} /root/a /root/b; posd check-config {config}; cat /root/posd.yaml > {config}")
    shop.box.shell("systemctl restart posd")
    shop.sold("3.62")


def test_a_planned_move_as_the_readme_says(shop: Shop) -> None:
    """The old machine's state is put away; what is carried is all that the new one gets."""
    shop.sold("5.10")
    shop.box.shell("systemctl stop posd && posd backup create --final --by 'Li Na'")
    stick = "mkdir -p /root/usb && cp -r /var/backups/posd/*-final /var/backups/posd-keys /root/usb"
    shop.box.shell(
        f"{stick}; mv /var/lib/posd /root/before; mkdir /var/lib/posd && cp -r /root/before/tmk /var/lib/posd/"
    )
    shop.box.shell("chown -R posd:posd /var/lib/posd; posd setup --no-start")
    shop.box.shell("posd backup restore /root/usb/*-final --keys-from /root/usb/posd-keys")
    shop.box.shell("systemctl start posd")
    shop.sold("5.11")
    assert json.loads(shop.box.shell("posd restore-gap list --json"))["gaps"] == []
    assert shop.box.shell("find /var/lib/posd ! -user posd") == ""
    shop.box.shell("posd journal verify; rm -r /root/before /root/usb")
    assert shop.differences() == []


def test_sealed_keys_need_no_clear_ones(shop: Shop) -> None:
    """posd-sealed-keys.conf, by the commands in it: posd, its backups, their proof and root's commands go on."""
    shipped = "/usr/src/posd/systemd/posd-sealed-keys.conf"
    text = (shop.box.disk / shipped.lstrip("/")).read_text()
    told = "".join(line.removeprefix("#   ") + "\n" for line in text.splitlines() if line.startswith("#   "))
    told = told.replace("encrypt ", "encrypt --with-key=host ").replace(" posd-sealed-keys.conf", f" {shipped}")
    try:
        shop.box.shell(f"{told} systemctl daemon-reload; mv /etc/posd/keys /root/keys; systemctl restart posd")
        shop.sold("4.00")
        shop.box.shell(
            "systemctl start posd-backup posd-verify; posd journal verify; posd backup verify; posd keys list"
        )
        doctor = json.loads(shop.box.typed("posd doctor --json").stdout)["findings"]
        wrong = {one["code"] for one in doctor if one["level"] in ("warning", "alert")}
        assert wrong - {"clock_free"} == set()
        refused = shop.box.typed("posd keys rotate --by 'Li Na'")
        assert (refused.returncode, "rotated unsealed" in refused.stderr) == (2, True)
        shop.box.shell("systemctl stop posd")
        assert "it is sealed (/etc/posd/sealed/machine.key)" in shop.box.typed("posd journal verify").stderr
    finally:
        shop.box.shell("mv /root/keys /etc/posd/keys; rm -r /etc/posd/sealed")
        shop.box.shell("rm /etc/systemd/system/posd*.service.d/sealed-keys.conf; systemctl daemon-reload")
        shop.box.shell("systemctl restart posd")


def test_the_sandbox_holds(shop: Shop) -> None:
    status = dict(
        line.split(":\t", 1)
        for line in shop.box.shell(f"cat /proc/{shop.box.pid()}/status").splitlines()
        if ":\t" in line
    )
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert {int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {0}
    inside = f"nsenter -t {shop.box.pid()} -m"
    for place in ("/etc", "/usr", "/opt/posd", "/home"):
        assert shop.box.typed(f"{inside} touch {place}/x").returncode != 0
    limits = shop.box.shell(f"cat /proc/{shop.box.pid()}/limits")
    assert "Max core file size        0                    0 " in limits


def test_instances_do_not_see_each_other(shop: Shop) -> None:
    setup = f"{POSD} setup --yes --instance north --host 10.0.0.1:5000 --tid 20000001 --mid 898100012345678"
    backup = "--backup /var/backups/posd-north"
    said = shop.box.shell(f"{setup} --listen 127.0.0.1:7001 {backup} --tmk-file -", given=TMK)
    services = [f"{name}@north.service" for name in ("posd", "posd-backup", "posd-verify")]
    timers = [f"{name}@north.timer" for name in ("posd-backup", "posd-verify")]
    try:
        for unit in (*services, *timers):
            assert shop.box.typed(f"systemd-analyze verify --man=no {unit}").stderr == "", unit
        for timer in timers:
            assert shop.box.unit("UnitFileState", "ActiveState", of=timer) == ["enabled", "active"]
        shop.box.shell("systemctl start posd-verify@north.service")
        hardened = shop.box.shell(f"systemd-analyze security --no-pager {' '.join(services)}")
        exposures = [float(level) for level in re.findall(r"for \S+: ([0-9.]+) OK", hardened)]
        assert (len(exposures), max(exposures) <= 1.5) == (3, True)
        doctor = shop.box.typed(f"{POSD} doctor --config /etc/posd-north/posd.yaml").stdout
        assert "export POSD_CONFIG=/etc/posd-north/posd.yaml" in doctor
        assert [line for line in doctor.splitlines() if line.startswith("! ") and "in step" not in line] == []
        assert "20000001" in said
        assert shop.box.unit("User", "ActiveState", of="posd@north") == ["posd-north", "active"]
        assert shop.box.is_ready()
        others = "/var/lib/posd /etc/posd /run/posd /var/backups/posd /var/backups/posd-keys"
        assert shop.box.typed(f"ls {others}", user="posd-north").stdout == ""
        shop.box.shell(f"{POSD} status --config /etc/posd-north/posd.yaml")
    finally:
        shop.box.shell(f"systemctl disable --now posd@north {' '.join(timers)}")


def test_people_with_a_role_are_answered_and_sent_on(shop: Shop) -> None:
    """What the daemon knows, they see; of files that are not theirs, and of keys, they are told whom to ask."""
    shop.sold("6.00")
    shop.box.shell("useradd lina; usermod -aG posd lina; useradd guest")

    def said(command: str, user: str = "lina") -> tuple[int, str]:
        done = shop.box.typed(command, user=user)
        return done.returncode, done.stdout + done.stderr

    for command in ("posd status", "posd routes", "posd txn list", "posd proposals list", "posd restore-gap list"):
        assert said(command)[0] == 0, said(command)
    sold = json.loads(shop.box.typed("posd txn list --json", user="lina").stdout)["transactions"][-1]
    status, text = said(f"posd txn show {sold['request_id']}")
    assert (status, "6.00" in text, "its history is not shown" in text) == (0, True, True)
    for command in ("posd check 2026-03-02", "posd settle --show", "posd journal show"):
        assert said(command) == (2, f"posd: journal: /var/lib/posd/journal: {READERS}\n")
    for command in ("posd journal verify", "posd backup create", "posd backup restore --move-aside"):
        assert "permission denied; run this as root" in said(command)[1], command
    assert "needs the role 'keys'; you are lina" in said("posd keys list")[1]
    status, text = said("posd check-config /etc/posd/posd.yaml")
    assert (status, "posd runs as posd: check as root" in text) == (2, True)
    doctor = said("posd doctor")[1]
    assert [line for line in doctor.splitlines() if line.startswith("! ") and "in step" not in line] == []
    assert said("posd status", user="guest") == (
        2,
        "posd: /etc/posd/posd.yaml: permission denied; give the path of a readable file\n",
    )


def test_another_version_is_installed_by_the_readmes_command(shop: Shop) -> None:
    """posd is stopped, replaced, and started with the batch that was open."""
    (line,) = re.findall(r"(?m)^systemctl stop posd && (.*pip install.*) && (posd setup --yes)$", README.read_text())
    shop.sold("7.00")
    shop.box.shell("systemctl stop posd")
    shop.box.with_network(line[0])
    shop.box.shell(line[1])
    shop.box.until(shop.box.is_ready, "posd after the upgrade")
    assert '"7.00"' in shop.box.shell(f"{POSD} txn list --json")
    shop.sold("7.01")
    assert shop.differences() == []


def test_root_is_told_what_the_services_user_cannot_read(shop: Shop) -> None:
    """Before the restart that would fail by it: a certificate that only root can read."""
    shop.box.shell("cp -p /etc/posd/posd.yaml /root/good; install -m 600 /dev/null /etc/posd/ca.pem")
    try:
        shop.box.shell("cat /etc/ssl/certs/ca-certificates.crt > /etc/posd/ca.pem")
        address = (
            's@^  address: "10.0.0.1:5000"@  address: "tls://10.0.0.1:5000"@; s@^    ca_file: ""@    ca_file: ca.pem@'
        )
        shop.box.shell(f"sed -i '{address}' /etc/posd/posd.yaml")
        checked = shop.box.typed("posd check-config /etc/posd/posd.yaml")
        assert (checked.returncode, len(checked.stderr.splitlines())) == (2, 1), checked.stderr
        assert "/etc/posd/ca.pem cannot be read by posd, the service's user" in checked.stderr
        shop.box.shell("chown posd /etc/posd/ca.pem; posd check-config /etc/posd/posd.yaml")
    finally:
        shop.box.shell("cp -p /root/good /etc/posd/posd.yaml; rm /etc/posd/ca.pem")


def test_a_shop_that_is_off_line_starts_after_a_boot(shop: Shop) -> None:
    """No clock will ever be in step, no host is there: posd is up, and remembers what it sold."""
    shop.sold("5.55")
    shop.box.shell("cat > /etc/systemd/system/never.service; systemctl enable --quiet never", given=NEVER_SYNCED)
    assert shop.host is not None
    shop.host.kill()
    shop.host.wait()
    shop.box.reboot()
    try:
        shop.box.until(shop.box.is_ready, "posd after the boot")
        assert shop.box.unit("ActiveState", of="time-sync.target") == ["inactive"]
        sales = shop.box.shell(f"{POSD} txn list --json")
        assert '"5.55"' in sales
    finally:
        shop.box.shell("systemctl disable --quiet --now never")
        shop.start_host()
    shop.sold("5.56")


def test_the_power_goes_in_the_middle_of_a_settlement(shop: Shop) -> None:
    """The host has closed the batch and its answer is lost with the box: settled once, by the next start."""
    shop.start_host({"do": "lose_answer", "mti": "0500", "times": 1})
    shop.sold("6.66")
    closed_before = shop.kinds().count("batch_closed")
    shop.box.shell(f"setsid {POSD} settle > /dev/null 2>&1 &")
    shop.box.until(lambda: '"mti": "0500"' in shop.heard(), "the totals")
    shop.box.pull_the_plug()
    assert shop.kinds().count("batch_closed") == closed_before
    shop.start_host()
    shop.box.boot()
    shop.box.until(shop.box.is_ready, "posd after the cut")
    shop.box.until(lambda: shop.kinds().count("batch_closed") > closed_before, "the settlement")
    shop.sold("6.67")
    assert shop.kinds().count("batch_closed") == closed_before + 1
    assert shop.differences() == []
