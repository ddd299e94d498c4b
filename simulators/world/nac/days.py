"""A NAC terminal's day at random: sales mostly, what undoes and changes them, and what makes no sense."""

from posd.framing.tpdu import join
from simulators.terminal.core import CardInHand, Sent
from simulators.world.nac.agents import ENVELOPE, NacAgent
from simulators.world.terminals import LATE_S, Agent, Ask, Script, Wait


def nac_day(agent: Agent, cards: tuple[CardInHand, ...], requests: int, until_ms: int) -> Script:
    """A day of a shop, at random times, until the evening."""
    assert isinstance(agent, NacAgent)
    stage = agent.stage
    yield from agent.sign_in()
    gap_s = max(1.0, (until_ms - stage.now_ms) / 1000 / requests)
    for _ in range(requests):
        yield Wait(stage.random.expovariate(1.5 / gap_s))
        if stage.now_ms >= until_ms:
            return
        yield from _something(agent, cards)


def _something(agent: NacAgent, cards: tuple[CardInHand, ...]) -> Script:
    stage, nac, random = agent.stage, agent.nac, agent.stage.random
    if stage.chance(stage.faults.odd):
        yield from _odd(agent, cards)
        return
    card, amount, roll = random.choice(cards), random.randrange(1, 200_000), random.random()
    if roll >= 0.7:
        yield from _another_kind(agent, card, amount)
    elif roll < 0.1 and agent.standing():
        yield from agent.request(nac.void(random.choice(agent.standing())))
    elif roll < 0.13:
        yield from agent.ask_once(nac.echo())
    elif roll < 0.16:
        yield from agent.sign_in()
    elif roll < 0.22:
        yield from agent.close_batch()
    elif roll < 0.3:
        yield from agent.request(nac.refund(card, amount))
    elif roll < 0.33 and agent.standing(refunds=True):
        yield from agent.request(nac.void(random.choice(agent.standing(refunds=True))))
    else:
        late_s = random.uniform(*LATE_S) if stage.chance(stage.faults.terminal_line / 4) else 0.0
        yield from agent.request(agent.sell(card, amount), late_s)


def _another_kind(agent: NacAgent, card: CardInHand, amount: int) -> Script:
    """Holds and what completes them; what has happened without the host."""
    random, nac, sold = agent.stage.random, agent.nac, agent.standing()
    match random.randrange(7):
        case 0:
            yield from agent.request(nac.preauth(card, amount))
        case 1 | 2 if agent.held():
            stan = random.choice(agent.held())
            part = max(1, agent.logged(stan).amount_minor * random.choice((20, 100, 100, 115, 120)) // 100)
            yield from agent.tell(nac.complete(stan, part))
        case 3 if sold:
            stan = random.choice(sold)
            tip = max(1, agent.logged(stan).amount_minor * random.choice((5, 10, 15)) // 100)
            yield from agent.tell(nac.tip(stan, tip))
        case 4 if sold:
            yield from agent.tell(nac.adjust(random.choice(sold), random.randrange(1, 200_000)))
        case 5 if sold:
            yield from agent.tell(nac.adjust(random.choice(sold), 0))
        case _:
            yield from agent.tell(nac.offline_sale(card, amount, "777777"))


def _odd(agent: NacAgent, cards: tuple[CardInHand, ...]) -> Script:
    """What makes no sense: each of it has to be refused, and to move no money."""
    random, nac = agent.stage.random, agent.nac
    card, sold = random.choice(cards), agent.standing()
    match random.randrange(6):
        case 0:
            yield from agent.ask_once(nac.sale(card, 0))
        case 1 if sold:
            yield from _again_with_another_amount(agent, random.choice(sold))
        case 2 if sold:
            stan = random.choice(sold)
            yield from agent.request(nac.void(stan))
            yield from agent.request(nac.void(stan))
        case 3:
            sent = nac.sale(card, 100)  # taken back before it was ever sent
            yield from agent.take_back(sent)
            yield from agent.ask_once(sent)
        case 4 if sold:
            stan = random.choice(sold)
            yield from agent.tell(nac.adjust(stan, agent.logged(stan).amount_minor))  # it could be meant as a void
        case _:
            sent = nac.sale(card, random.randrange(1, 10_000))
            agent.to_posd(f"{agent.tid}#side", join(ENVELOPE, sent.body))
            yield from agent.request(sent)


def _again_with_another_amount(agent: NacAgent, stan: int) -> Script:
    """The number of an earlier request, for another amount (D6)."""
    known = agent.logged(stan).sent.message
    again = agent.nac._sent("again", known.mti, {**known.fields, 4: f"{int(known.get(4) or '0') + 1:012d}", 64: None})
    yield Ask(Sent("again", again.message, again.body), 10.0)
