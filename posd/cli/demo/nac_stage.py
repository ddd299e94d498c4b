"""The stage of the NAC demo: the demo's three processes, with NAC's own configurations."""

import json
from datetime import datetime

from posd.cli.demo.nac_plan import EXPIRY, MID, OPENING_BALANCE_MINOR, TID, Plan
from posd.cli.demo.stage import LOOPBACK, SOCKET_NAME, TERMINAL_TIMEOUT_S, ZONE, Folder, Stage
from posd.security.machine import create_machine_key
from posd.values import format_amount

REVERSAL_ATTEMPTS = 2
_POSD_YAML = """\
# The demo's own; config/nac.example.yaml explains what is particular to this dialect.
version: 1
state_dir: state
control_socket: {socket}
machine_key_file: machine.key
log: {{format: json, level: info}}
host:
  profile: nac
  address: "{loopback}:{host_port}"
  connect_timeout_s: 0.8
  reply_timeout_s: 1
  reconnect: {{first_s: 0.3, max_s: 1}}
  nac: {{batch_number_first: {batch}, more_follows: "yes"}}
door: {{listen: "{loopback}:{door_port}", terminal_timeout_s: {terminal_timeout_s}}}
reversal: {{attempts: {attempts}, retry: {{first_s: 0.3, max_s: 1}}, stuck_retry_s: 4}}
settlement:
  at: ["{due}"]
  zone: {zone}
  retry: {{first_s: 0.5, max_s: 2}}
journal: {{free_bytes_min: 1048576, ballast_bytes: 1048576}}
terminals:
  - {{tid: "{tid}", mid: "{mid}", unsigned: accept}}
"""


class NacStage(Stage):
    """No keys but the machine's: nothing is signed in this dialect."""

    def __init__(self, folder: Folder, plan: Plan) -> None:
        super().__init__(folder)
        self.nac = plan

    def prepare(self) -> None:
        for path in (self.folder.posd, self.folder.host, self.folder.terminal):
            path.mkdir(mode=0o700)
        create_machine_key(self.folder.machine_key)
        text = json.dumps(host_configuration(self.nac), indent=2)
        (self.folder.host / "host.yaml").write_text(f"# JSON is YAML too.\n{text}\n")

    def start_terminal(self) -> None:
        numbers = {"batch": self.nac.batch, "stan": self.nac.terminal_stan, "timeout-s": TERMINAL_TIMEOUT_S}
        texts = {"connect": f"{LOOPBACK}:{self._door_port}", "tid": TID, "mid": MID, "profile": "nac"}
        arguments = [f"--{name}={value}" for name, value in {**texts, **numbers}.items()]
        self.terminal = self._start("terminal", "simulators.terminal", arguments, self.folder.told, listens=True)

    def _posd_yaml(self, due_at: datetime) -> str:
        return _POSD_YAML.format(
            socket=json.dumps(str(self._sockets / SOCKET_NAME)),
            loopback=LOOPBACK,
            host_port=self._host_port,
            door_port=self._door_port,
            terminal_timeout_s=TERMINAL_TIMEOUT_S,
            batch=self.nac.batch,
            attempts=REVERSAL_ATTEMPTS,
            due=f"{due_at:%H:%M:%S}",
            zone=ZONE,
            tid=TID,
            mid=MID,
        )


def host_configuration(plan: Plan) -> dict[str, object]:
    """The acquirer's terminal, cards and faults; each fault is tied to the amount of its sale."""
    rules = [
        {**rule, "amount": format_amount(sale.amount_minor)}
        for sale in plan.troubles
        if sale.trouble is not None
        for rule in sale.trouble.rules
    ]
    return {
        "profile": "nac",
        "seed": plan.seed,
        "terminals": [{"tid": TID, "mid": MID, "batch": plan.batch}],
        "cards": [
            {"pan": card.pan, "balance": format_amount(OPENING_BALANCE_MINOR), "expiry": EXPIRY} for card in plan.cards
        ],
        "faults": rules,
    }
