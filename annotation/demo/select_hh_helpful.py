"""Choose the pairs that the demo ships: `python annotation/demo/select_hh_helpful.py FOLDER`.

FOLDER holds `helpful-base.jsonl.gz` and `helpful-online.jsonl.gz` of HH-RLHF (MIT): one `{"chosen", "rejected"}` a
line. What comes out is `hh_helpful.jsonl.gz` beside this file: the same bytes from the same input. A pair is taken when

- the conversation has at most four human turns, 2,400 characters before the answers and 700 in any earlier turn;
- both answers have 40 to 800 characters, differ in more than their ending and neither is twelve times the other;
- nothing in the whole transcript, the rejected answer included, matches `UNWANTED`: a deliberately wide list, by stem,
  of violence, weapons, crime, sex, drugs, alcohol, self-harm, death, illness, hate, religion, politics, war, slurs,
  insults, fright and intimate relationships, so that many harmless conversations are left out as well;
- the last human turn asks or tells something: thanks alone leave nothing to judge;
- it holds no link, address or telephone number, and no text from the crowd work's own instructions;
- its conversation (the first human message) was not taken already: every pair starts from another question.

Which of the two answers the crowd worker preferred is kept in `meta` and is never shown; the order of the two is a coin
thrown by the hash of the conversation.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SOURCES = ("helpful-base", "helpful-online")
WANTED = 400

UNWANTED = re.compile(
    r"\b("
    r"abus|addict|affair|aggress|aids\b|alcohol|ammo|anal\b|anus|arrest|arson|ass\b|asshole|assault|attack|autops|"
    r"bastard|beat(ing)? (up|him|her|them)|beer|bigot|bisexual|bitch|bleed|blood|bomb|bong|boob|booze|breast|brothel|"
    r"bulim|bull(y|ied)|bullet|burglar|bury|buri|cancer|cannabis|casino|catholic|cheat|chest pain|christ|church|cigar|"
    r"cocaine|cocktail|coffin|condom|conservativ|corona|corpse|covid|crack\b|crap\b|crime|crimin|cripple|cruel|cult\b|"
    r"curse|damn|danger|dead|death|democrat|depress|devil|diabet|diagnos|dick|die\b|died|dies\b|diet pill|disease|"
    r"divorc|dope|drown|drug|drunk|dumb|dying|eating disorder|elect(ion|ed)|erect|escort|ethnic|execut|explod|explos|"
    r"fart|fascis|fat\b|fatal|felon|fent|fight|firearm|flirt|foreskin|fraud|fuck|funeral|gambl|gang\b|gay|gender|"
    r"genital|genocid|ghetto|god\b|grave(yard)?s?\b|groin|gun\b|guns\b|hack|hang(ed|ing) (him|her|my|your)self|harass|"
    r"hate|hatred|heaven|hell\b|heroin|hitler|hiv\b|holocaust|homo|hooker|hostage|hurt|hysteri|idiot|illegal|immigra|"
    r"impoten|incest|injur|insult|intoxic|islam|jail|jerk|jesus|jew|jihad|joint\b|kid+nap|kill|kinky|kiss|knife|knives|"
    r"koran|kush|lesbian|lgbt|liberal|libido|liquor|loser|lynch|marijuana|masturb|menstru|meth\b|militar|molest|"
    r"mosque|moron|mug(ged|ging)|murder|muslim|naked|narcot|nazi|negro|nicotin|nigg|nude|nsfw|obes|occult|opio|opium|"
    r"orgasm|overdos|overweight|pagan|panic|paedo|pedo|penis|period cramps|pervert|piss|pistol|poison|polic|politic|"
    r"poop|pope\b|porn|pray|pregnan|president|priest|prison|prostit|protest|psycho|puke|punch|puss|queer|quran|rabbi|"
    r"racis|racial|rape|rapist|rash\b|refugee|religio|republican|revenge|rifle|riot|robb|satan|scam|schizo|screw(ed)?\b|"
    r"scum|seduc|self-harm|semen|sex|shame|shit|shoot|shot(s|gun)?\b|sick\b|sin\b|sinn|skank|slap|slaught|slave|slur|"
    r"slut|smok|smuggl|sniper|sober|soldier|spank|sperm|spy\b|stab|stalk|steal|stereotyp|std\b|stole|strangl|strip|stroke|"
    r"stupid|suck|suffer|suicid|surg|swastika|swear|sword|symptom|taliban|tampon|teen|tequila|terror|testic|thief|"
    r"theft|threat|tobacco|torture|toxic|transgen|trauma|traumat|trump|tumor|ugly|underage|urin|vagina|vape|vibrator|"
    r"victim|violen|virgin|virus|vodka|vomit|vote|voting|wage gap|war\b|wars\b|warfare|weapon|weed|whisk|whore|wine|"
    r"witch|wound|xxx|zionis|biden|obama|clinton|putin|abortion|vaccin|boyfriend|girlfriend|dating|tinder|ex-wife|"
    r"ex-husband|lawsuit|sued?\b|evict|bankrupt|layoff|laid off|fired\b|black people|white people|mexican|asian|"
    r"indian|chinese people|arab|gyps|midget|retard|lame\b|blind\b|deaf\b|disab|autis|handicap|weight|calorie|"
    r"anxi|lonel|therap|medic|doctor|pill|dose|hospital|pain|bug spray|pest|rat\b|rats\b|mouse trap|mice|roach|trap\b|"
    r"taser|mace|lock ?pick|break into|password|ssn|social security|credit card|fake|forge|counterfeit|prank|"
    r"embarrass|gross|disgust|butt|fetish|lingerie|thong|bikini|underwear|tattoo|crush on|asshat|freak|"
    r"hunt|trophy|butcher|bait|cockfight|bullfight|zombie|horror|ghost|haunt|scar(y|ed)|vampire|demon|monster|"
    r"diarr|bowel|constipat|feces|toilet|run over|amendment|last days|rage\b|fire\b|fires\b|ambassador|"
    r"united nations|senat|congress|govern|mayor|russia|ukrain|invad|invasi|homeless|starv|abandon|cry\b|crying|sad\b|"
    r"insomnia|headache|allerg|fever|flu\b|crash|accident|emergenc|burn(ed|s)?\b|cockroach|snake|spider|obsess|"
    r"grandmother but|lamb head|slave|coloni|confederat|racist|sins?\b|heart ?burn|tits|lick|moan|thrust|hell yeah"
    r")",
    re.IGNORECASE,
)
PRIVATE = re.compile(
    r"https?:|www\.|\S@\S|\.com\b|\+?\d[\d\-\s().]{8,}\d|\bhuman:|\bassistant:|language model|anthropic", re.I
)
THANKS = re.compile(r"\W*(ok(ay)?|great|awesome|perfect|no)?\W*(thanks?|thx)", re.I)
TURN = re.compile(r"\n\n(Human|Assistant): ?")


def transcript(text: str) -> list[dict[str, str]]:
    """Return the turns of an HH-RLHF transcript as messages."""
    parts = TURN.split(text)[1:]
    roles = {"Human": "user", "Assistant": "assistant"}
    return [{"role": roles[who], "content": said.strip()} for who, said in zip(parts[::2], parts[1::2], strict=True)]


def pair(row: dict[str, str], *, source: str) -> dict[str, Any] | None:
    """Return the pair in the layout that the importer reads, or None when a rule above leaves it out."""
    chosen, rejected = transcript(row["chosen"]), transcript(row["rejected"])
    if chosen[:-1] != rejected[:-1] or not chosen[:-1]:
        return None
    prompt, better, worse = chosen[:-1], chosen[-1]["content"], rejected[-1]["content"]
    roles = [message["role"] for message in prompt]
    alternates = roles == (["user", "assistant"] * len(roles))[: len(roles)] and roles[-1] == "user"
    said = [message["content"] for message in prompt]
    lengths = sorted((len(better), len(worse)))
    if not alternates or len(prompt) > 7 or sum(map(len, said)) > 2400 or max(map(len, said)) > 700:
        return None
    if len(said[-1]) < 15 or THANKS.match(said[-1]):
        return None
    if lengths[0] < 40 or lengths[1] > 800 or lengths[1] > 12 * lengths[0] or min(map(len, said)) < 2:
        return None
    if better.startswith(worse[:60]) and worse.startswith(better[:60]):
        return None
    whole = "\n".join([*said, better, worse])
    if UNWANTED.search(whole) or PRIVATE.search(whole) or len(said[0]) < 15:
        return None
    digest = hashlib.sha256(json.dumps([said, sorted([better, worse])]).encode()).hexdigest()
    first = int(digest[-1], 16) % 2
    answers = [better, worse] if first == 0 else [worse, better]
    return {
        "id": f"hh-{digest[:16]}",
        "prompt": prompt,
        "completions": [{"text": text, "origin": "HH-RLHF"} for text in answers],
        "meta": {"source": f"HH-RLHF {source}", "published_choice": first},
    }


def select(folder: Path) -> list[dict[str, Any]]:
    """Return up to `WANTED` pairs, in the order of their hashes, each from another conversation."""
    found: dict[str, dict[str, Any]] = {}
    for source in SOURCES:
        with gzip.open(folder / f"{source}.jsonl.gz", "rt", encoding="utf-8") as lines:
            for line in lines:
                candidate = pair(json.loads(line), source=source)
                if candidate is None or candidate["id"] in LEFT_OUT:
                    continue
                question = candidate["prompt"][0]["content"]
                if question not in found or candidate["id"] < found[question]["id"]:
                    found[question] = candidate
    return sorted(found.values(), key=lambda row: row["id"])[:WANTED]


# Read and found unfit although no rule catches them: advice to deceive, or a subject that is heavy for somebody.
LEFT_OUT = frozenset(
    {
        "hh-4873d9fd26f080f8",
        "hh-62279281dda33023",
        "hh-67ccb96a5ea98ec6",
        "hh-1ec1002d6436b794",
        "hh-3c150496fc07bfd8",
        "hh-40a239f2770f5134",
        "hh-4330ca68799d24a7",
        "hh-6ecc59e0c5a857b9",
        "hh-88678233a2698baa",
        "hh-a369e4426c7f4411",
        "hh-b09fda8aa0a1add6",
    }
)


if __name__ == "__main__":
    rows = select(Path(sys.argv[1]))
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    with (HERE / "hh_helpful.jsonl.gz").open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
        file.write(text.encode())
    sys.stdout.write(f"{len(rows)} pairs\n")
