"""What the people of the demo are called and what they talk about."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

#: As written, and as it stands in an address.
FIRST_NAMES = (
    ("Alice", "alice"), ("Bob", "bob"), ("Chiara", "chiara"), ("Daniel", "daniel"), ("Elif", "elif"),
    ("Fatima", "fatima"), ("Gustavo", "gustavo"), ("Hana", "hana"), ("Ivan", "ivan"), ("Jürgen", "juergen"),
    ("Keiko", "keiko"), ("Liam", "liam"), ("Mariana", "mariana"), ("Nadia", "nadia"), ("Olu", "olu"),
    ("Priya", "priya"), ("Quentin", "quentin"), ("Rosa", "rosa"), ("Søren", "soren"), ("Tomás", "tomas"),
    ("Ulla", "ulla"), ("Viktor", "viktor"), ("Wei", "wei"), ("Ximena", "ximena"), ("Yusuf", "yusuf"),
    ("Zoë", "zoe"), ("Amara", "amara"), ("Björn", "bjoern"), ("Camille", "camille"), ("Dmitri", "dmitri"),
    ("Esther", "esther"), ("Farid", "farid"), ("Grace", "grace"), ("Hugo", "hugo"), ("Ines", "ines"),
    ("Jamal", "jamal"), ("Kofi", "kofi"), ("Leila", "leila"), ("Mateo", "mateo"), ("Noor", "noor"),
)  # fmt: skip
LAST_NAMES = (
    ("Almeida", "almeida"), ("Brandt", "brandt"), ("Chowdhury", "chowdhury"), ("Dubois", "dubois"),
    ("Eriksen", "eriksen"), ("Ferreira", "ferreira"), ("García", "garcia"), ("Haddad", "haddad"),
    ("Ivanova", "ivanova"), ("Jansen", "jansen"), ("Kowalski", "kowalski"), ("Lindqvist", "lindqvist"),
    ("Moreau", "moreau"), ("Nakamura", "nakamura"), ("Okafor", "okafor"), ("Papadopoulos", "papadopoulos"),
    ("Quinn", "quinn"), ("Rossi", "rossi"), ("Schäfer", "schaefer"), ("Tanaka", "tanaka"),
    ("Usman", "usman"), ("Varga", "varga"), ("Weber", "weber"), ("Xu", "xu"), ("Yılmaz", "yilmaz"),
    ("Zhang", "zhang"), ("Adeyemi", "adeyemi"), ("Bianchi", "bianchi"), ("Costa", "costa"),
    ("O'Connor", "oconnor"), ("Petrov", "petrov"),
)  # fmt: skip
DOMAINS = ("example.com", "example.org", "example.net", "mail.example.com", "team.example.org")


@dataclass(frozen=True)
class Topic:
    titles: tuple[str, ...]
    questions: tuple[str, ...]
    answers: tuple[str, ...]


TOPICS = (
    Topic(
        ("Query plan of the orders report", "Slow report on Monday", "Index for the orders table"),
        (
            "Our orders report takes forty seconds since the table passed two million rows; where do I look first?",
            "Does an index on the customer and the date help when I sort by the date alone?",
            "The plan says that it sorts in a temporary b-tree. How do I get rid of that?",
        ),
        (
            "Start with the plan: a scan of the table means that no index serves both the filter and the order.",
            "Put the columns that are compared by equality first, then the one that you sort by.",
            "A page that begins after the last key read costs the same at any depth; an offset does not.",
        ),
    ),
    Topic(
        ("Two weeks in Portugal", "Lisbon to Porto by train", "Rainy days in the Algarve"),
        (
            "We have nine days in Portugal in October, two adults and a child of six; what would you leave out?",
            "Is the train from Lisbon to Porto worth booking ahead?",
            "What can we do in Faro when it rains?",
        ),
        (
            "Nine days are enough for Lisbon, Évora and Porto, with one slow day between each of them.",
            "Book the train two weeks ahead: the same seat costs about half of what it costs on the day.",
            "The science centre in Faro and the tile museum in Lisbon both keep a child of six busy for hours.",
        ),
    ),
    Topic(
        ("Letter to the landlord", "Deposit not returned", "Notice of a rent increase"),
        (
            "Please make this letter to my landlord polite and firm: the heating has been off for eleven days.",
            "How long may a landlord keep the deposit after I moved out?",
            "Can you shorten the second paragraph and keep the date in it?",
        ),
        (
            "Here is a version that names the dates, asks for a repair within a week and stays friendly.",
            "Rules differ by country, so ask a tenants' association; in writing, with a date, is right everywhere.",
            "I cut the paragraph to two sentences and left the date at its start, where it is seen.",
        ),
    ),
    Topic(
        ("Sourdough that stays flat", "Bread for a gas oven", "Feeding the starter"),
        (
            "My sourdough spreads like a pancake although the starter doubles in four hours. What is wrong?",
            "How much water do I leave out when the flour is weak?",
            "May I keep the dough in the fridge over two nights?",
        ),
        (
            "A loaf that spreads has usually proved too long or was shaped too loosely; try an hour less first.",
            "Go down to 65 percent water and add the last spoonfuls only when the dough holds together.",
            "Two nights at four degrees work well, as long as it went in before it had doubled.",
        ),
    ),
    Topic(
        ("Tests for the checkout", "Flaky test in CI", "Mocking the payment service"),
        (
            "This test passes on my machine and fails once in ten runs in CI. How do I find the reason?",
            "Should I mock the payment service or run a stand-in for it?",
            "Can you write the same test with a table of cases?",
        ),
        (
            "Run it a hundred times with the seed printed, and look at what it shares: time, order, ports.",
            "A stand-in that speaks the same protocol finds mistakes that a mock repeats.",
            "Here are the cases as a table; each row has a name, so that a failure tells which one it was.",
        ),
    ),
    Topic(
        ("Spanish for the pharmacy", "Past tenses once more", "Small talk with neighbours"),
        (
            "How do I ask for something against a cough without sounding rude?",
            "When do I use the imperfect and when the simple past?",
            "Correct my sentences please, and tell me which mistake I make most.",
        ),
        (
            "Say what you need and for how long you have had it; a simple please at the end is enough.",
            "The imperfect paints what was going on, the simple past says what happened then.",
            "Your most frequent mistake is the gender of nouns in -ma: el problema, el tema, el sistema.",
        ),
    ),
    Topic(
        ("Budget of a small team", "Quarterly figures as a table", "Forecast for the spring"),
        (
            "Turn these figures into a table by month and tell me which one looks odd.",
            "What is a careful way to forecast three months from eighteen?",
            "Explain the difference between cash and profit to somebody who paints for a living.",
        ),
        (
            "March stands out: costs rise by a third while sales stay as they were; look at its invoices.",
            "Take the same month of last year, correct it by the trend of the last six, and give a range.",
            "Profit is what you earned, cash is what is in the tin; a paid deposit is cash and no profit yet.",
        ),
    ),
    Topic(
        ("Story about a lighthouse", "Names for a sailing boat", "Second chapter"),
        (
            "Go on with the story: the keeper finds the log book with one page torn out.",
            "Give me ten names for a small wooden boat, none of them a woman's name.",
            "Make the dialogue shorter; nobody speaks in whole paragraphs during a storm.",
        ),
        (
            "He turned the page towards the lamp, and the torn edge threw a shadow like a coast that no map had.",
            "Windhover, Second Tide, Corncrake, Half Moon, Sixpence, Longshore, Petrel, Driftwood, Gannet, Dunlin.",
            "I halved the dialogue and let the wind say the rest.",
        ),
    ),
)
OPENINGS = (
    "", "", "", "Hi! ", "Thanks. ", "One more thing: ", "Good morning. ", "Quick question. ", "I forgot to say: ",
)  # fmt: skip
CLOSINGS = (
    "Tell me if you want more detail on any of these points.",
    "I have left out what does not matter for your case.",
    "If one of the assumptions is wrong, say so and I will go through it again.",
    "That should be enough to begin with.",
    "A short check afterwards shows whether it worked.",
)
SYSTEM = "You are a helpful assistant. Answer in the language of the question, in plain words."


def pick(rng: Random, choices: tuple[str, ...]) -> str:
    # rng.choice costs three times as much, and this runs millions of times.
    return choices[int(rng.random() * len(choices))]


def question(rng: Random, topic: Topic) -> str:
    return pick(rng, OPENINGS) + pick(rng, topic.questions)


def answer(rng: Random, topic: Topic) -> str:
    return f"{pick(rng, topic.answers)} {pick(rng, topic.answers)} {pick(rng, CLOSINGS)}"


def person(index: int) -> tuple[str, str]:
    """A name and an address that nobody else of the demo has."""
    names = len(FIRST_NAMES) * len(LAST_NAMES)
    # 733 has no factor in common with the 1,240 names, so each comes once before any comes again.
    place, again = (index * 733) % names, index // names
    (first, first_ascii), (last, last_ascii) = FIRST_NAMES[place % 40], LAST_NAMES[place // 40]
    domain = DOMAINS[index % len(DOMAINS)]
    return f"{first} {last}", f"{first_ascii}.{last_ascii}{again or ''}@{domain}"
