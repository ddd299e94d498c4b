"""A terminal's day at random: sales mostly, holds and what ends them, advices, and what makes no sense."""

from posd.framing.tpdu import join
from posd.iso8583.unionpay import UNIONPAY
from simulators.host.kinds import Kind
from simulators.terminal import matrix
from simulators.terminal.core import CardInHand, Sent
from simulators.world.terminals import ENVELOPE, LATE_S, Agent, Ask, Script, Wait

ONE_OF_THE_OTHERS = 0.66
"""Of the requests of a day, what is above this is a hold, its end, or an advice."""


def random_day(agent: Agent, cards: tuple[CardInHand, ...], requests: int, until_ms: int) -> Script:
    """A day of a shop: sales mostly, at random times, until the evening."""
    stage = agent.stage
    yield from agent.sign_in()
    gap_s = max(1.0, (until_ms - stage.now_ms) / 1000 / requests)
    for _ in range(requests):
        yield Wait(stage.random.expovariate(1.5 / gap_s))
        if stage.now_ms >= until_ms:
            return
        yield from _something(agent, cards)


def _something(agent: Agent, cards: tuple[CardInHand, ...]) -> Script:
    stage, core = agent.stage, agent.core
    if stage.chance(stage.faults.odd):
        yield from _odd(agent, cards)
        return
    card, amount, roll = (
        agent.in_reader(stage.random.choice(cards)),
        stage.random.randrange(1, 200_000),
        stage.random.random(),
    )
    if roll >= ONE_OF_THE_OTHERS:
        yield from _another_kind(agent, card, amount)
    elif roll < 0.12 and agent.voidable():
        yield from agent.request(core.void(stage.random.choice(agent.voidable())))
    elif roll < 0.16:
        yield from agent.ask_once(core.balance(card))
    elif roll < 0.18:
        yield from agent.ask_once(core.echo())
    elif roll < 0.22:
        yield from agent.sign_in()
    elif roll < 0.24:
        yield from agent.close_batch()
    elif roll < 0.36:
        yield from agent.refund(card, amount)
    else:
        late_s = stage.random.uniform(*LATE_S) if stage.chance(stage.faults.terminal_line / 4) else 0.0
        yield from agent.request(core.sale(card, amount), late_s)


def _another_kind(agent: Agent, card: CardInHand, amount: int) -> Script:
    """Holds and what ends them; what has happened without the host."""
    random, core = agent.stage.random, agent.core
    holds, advised = list(core.holds), agent.approved(Kind.OFFLINE_SALE, Kind.ADJUST)
    match random.randrange(9):
        case 0 | 1 if holds:
            batch, stan = random.choice(holds)
            held = core.holds[batch, stan].amount_minor
            part = max(1, held * random.choice((20, 100, 100, 115, 120)) // 100)
            made = matrix.complete if random.random() < 0.6 else matrix.complete_notice
            sent = made(core, stan, part, batch)
            yield from agent.request(sent) if made is matrix.complete else agent.tell(sent)
        case 2 if holds:
            batch, stan = random.choice(holds)
            yield from agent.request(matrix.preauth_void(core, stan, batch))
        case 3 if agent.approved(Kind.COMPLETION):
            yield from agent.request(matrix.complete_void(core, random.choice(agent.approved(Kind.COMPLETION))))
        case 4 if agent.voidable():
            stan = random.choice(agent.voidable())
            sold = core.log[stan].amount_minor  # a tip of nothing would leave no trace in any totals
            tip = max(1, sold * random.choice((5, 10, 15, 20, 40)) // 100)  # 40 is more than any host takes
            yield from agent.tell(matrix.tip(core, stan, sold + tip))
        case 5 if advised:
            yield from agent.tell(matrix.adjust(core, random.choice(advised), random.randrange(1, 200_000)))
        case 6 if tipped := [stan for stan in agent.voidable() if core.changes(stan)]:
            stan = random.choice(tipped)  # hardly a tip any more, or no sale at all
            if random.random() < 0.5:
                yield from agent.tell(matrix.tip(core, stan, core.log[stan].amount_minor + 1))
            else:
                yield from agent.request(core.void(stan))
        case 7 | 8:
            yield from agent.tell(matrix.offline_sale(core, CardInHand(card.pan, card.expiry, "022"), amount, "777777"))
        case _:
            yield from agent.request(matrix.preauth(core, card, amount))


def _odd(agent: Agent, cards: tuple[CardInHand, ...]) -> Script:
    """What makes no sense: each of it has to be refused, and to move no money."""
    stage, core = agent.stage, agent.core
    card = stage.random.choice(cards)
    match stage.random.randrange(7):
        case 0:
            yield from agent.ask_once(core.sale(card, 0))
        case 1 if agent.voidable():
            yield from _again_with_another_amount(agent)
        case 2 if agent.voidable():
            stan = stage.random.choice(agent.voidable())
            yield from agent.request(core.void(stan))
            yield from agent.request(core.void(stan))
        case 3:
            sent = core.sale(card, 100)  # taken back before it was ever sent
            yield from agent.take_back(sent)
            yield from agent.ask_once(sent)
        case 4:
            sent = core.echo()
            yield Ask(Sent("echo", sent.message.with_({60: "00000001999"}), UNIONPAY.encode(sent.message)), 5.0)
        case 5:
            yield from agent.refund(card, amount := stage.random.randrange(1, 10_000))
            yield from _refund_taken_back(agent, amount)
        case _:
            yield from _twice_at_once(agent, core.sale(card, stage.random.randrange(1, 10_000)))


def _refund_taken_back(agent: Agent, amount: int) -> Script:
    """No 0400 ends a refund: whatever it is answered, none goes on to the host (D13)."""
    refunded = [stan for stan, one in agent.core.log.items() if one.sent.do == "refund"]
    agent.stage.say(f"term {agent.tid[-1]}", f"wants its refund of {amount} back")
    for stan in refunded[-1:]:
        yield Ask(agent.core.reverse(stan), 10.0)


def _again_with_another_amount(agent: Agent) -> Script:
    """The number of an earlier request, for another amount (D6)."""
    known = agent.core.log[agent.stage.random.choice(agent.voidable())].sent.message
    message = known.with_({4: f"{int(known.get(4) or '0') + 1:012d}", 64: None})
    yield Ask(Sent("again", message, UNIONPAY.encode(message)), 10.0)


def _twice_at_once(agent: Agent, sent: Sent) -> Script:
    """The same request on two connections at the same time: one authorisation."""
    agent.to_posd(f"{agent.tid}#side", join(ENVELOPE, sent.body))
    yield from agent.request(sent)
