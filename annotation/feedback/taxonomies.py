"""The harm taxonomies: which categories a safety judgement can name, and how those of two packs correspond.

The names are those of the published data sets, so that exports line up with them; the words after each name are ours.
PKU-SafeRLHF: J. Ji et al. (2024), 19 categories. BeaverTails: J. Ji et al. (2023), 14. BeaverTails-V: J. Ji et al.,
"Safe RLHF-V" (2025), 20, for images.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.utils import translation


@dataclass(frozen=True)
class Harm:
    """One category: its key in exports, and what an answer does that belongs to it. In English; see `said`."""

    key: str
    title: str
    meaning: str

    @property
    def said(self) -> tuple[str, str]:
        """Return title and meaning in the reader's language; `frontend.registered` has them for the catalogues."""
        return translation.gettext(self.title), translation.gettext(self.meaning)


@dataclass(frozen=True)
class Pack:
    """A closed list of categories."""

    name: str
    title: str
    harms: tuple[Harm, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(harm.key for harm in self.harms)

    @property
    def titles(self) -> dict[str, str]:
        """Return the title of each category by its key, in the reader's language."""
        return {harm.key: translation.gettext(harm.title) for harm in self.harms}

    @property
    def said(self) -> str:
        """Return the title of the pack in the reader's language."""
        return translation.gettext(self.title)


def _pack(name: str, title: str, table: str) -> Pack:
    """Return the pack of a table with one category per line: its title, a colon, its meaning."""
    harms = []
    for line in table.strip().splitlines():
        words, _colon, meaning = line.partition(":")
        key = "_".join("".join(mark if mark.isalnum() else " " for mark in words.lower()).split())
        harms.append(Harm(key, words.strip(), meaning.strip()))
    return Pack(name, title, tuple(harms))


SAFE_RLHF = _pack(
    "safe-rlhf",
    "PKU-SafeRLHF, 19 categories",
    """
Endangering national security: harm to a state's defence, institutions or secrets
Insulting behavior: humiliating or demeaning someone
Discriminatory behavior: unequal treatment of, or contempt for, a protected group
Endangering public health: spread of disease or unsafe health practice for many
Copyright issues: use of protected work against its owner's rights
Violence: force against people or property
Drugs: making, selling or misusing illegal substances
Privacy violation: getting, exposing or misusing personal data
Economic crime: theft, fraud, money laundering and the like for gain
Mental manipulation: steering someone against their interest by deceit or pressure
Human trafficking: recruiting, moving or holding people for exploitation
Physical harm: injury to oneself or others, dangerous instructions included
Sexual content: explicit or exploitative sexual material
Cybercrime: intrusion, malware, fraud on the net
Disrupting public order: unrest, hoaxes, blocking of services
Environmental damage: lasting harm to nature
Psychological harm: distress, intimidation, driving to despair
White-collar crime: deceit in business or office, bribery, insider acts
Animal abuse: cruelty to animals, or neglect of them
""",
)
BEAVERTAILS = _pack(
    "beavertails",
    "BeaverTails, 14 categories",
    """
Animal abuse: cruelty to animals, or neglect of them
Child abuse: harm to children, or its praise
Controversial topics, politics: one-sided persuasion on matters of public dispute
Discrimination, stereotype, injustice: unequal treatment of, or contempt for, groups
Drug abuse, weapons, banned substance: making, getting or misusing them
Financial crime, property crime, theft: taking what belongs to others
Hate speech, offensive language: contempt and insult
Misinformation regarding ethics, laws and safety: false claims about them
Non-violent unethical behavior: deceit and other wrong that is no violence
Privacy violation: getting, exposing or misusing personal data
Self-harm: hurting oneself, or its praise
Sexually explicit, adult content: explicit material
Terrorism, organized crime: help for or praise of either
Violence, aiding and abetting, incitement: force against people, and calls for it
""",
)
BEAVERTAILS_V = _pack(
    "beavertails-v",
    "BeaverTails-V for images, 20 categories",
    """
Animal abuse: cruelty to animals, or neglect of them
Dangerous behavior: acts that put people in danger
Deception in personal relationships: deceit among people who are close
Discriminatory depictions: groups shown with contempt
Environmental damage: lasting harm to nature
False information: false claims shown as true
Financial and academic fraud: deceit about money or study
Hacking or digital crime: intrusion, malware, fraud on the net
Harmful health content: unsafe health practice
Horror and gore: mutilation and blood
Identity misuse and impersonation: passing oneself off as somebody else
Insulting and harassing behavior: humiliating or following someone
Pornographic content: explicit sexual material
Privacy invasion and surveillance: watching people or exposing their data
Psychological harm and manipulation: distress, pressure, control
Psychological horror and dark themes: dread and despair
Sensitive information in key areas: secrets of state, industry or infrastructure
Sexual crimes: force and exploitation in sexual matters
Terrorism or extremism: help for or praise of either
Violence and physical harm: force against people
""",
)
PACKS: dict[str, Pack] = {pack.name: pack for pack in (SAFE_RLHF, BEAVERTAILS, BEAVERTAILS_V)}

# Which categories of the 19 a category of another pack corresponds to. Many to many, ours: the data sets publish none.
# A category without a counterpart has an empty list, and stays what it is in exports.
_TO_SAFE_RLHF: dict[str, dict[str, list[str]]] = {
    "beavertails": {
        "animal_abuse": ["animal_abuse"],
        "child_abuse": ["physical_harm", "sexual_content"],
        "controversial_topics_politics": [],
        "discrimination_stereotype_injustice": ["discriminatory_behavior"],
        "drug_abuse_weapons_banned_substance": ["drugs", "violence"],
        "financial_crime_property_crime_theft": ["economic_crime", "white_collar_crime"],
        "hate_speech_offensive_language": ["insulting_behavior", "discriminatory_behavior"],
        "misinformation_regarding_ethics_laws_and_safety": ["endangering_public_health"],
        "non_violent_unethical_behavior": ["mental_manipulation", "white_collar_crime"],
        "privacy_violation": ["privacy_violation"],
        "self_harm": ["physical_harm", "psychological_harm"],
        "sexually_explicit_adult_content": ["sexual_content"],
        "terrorism_organized_crime": ["violence", "endangering_national_security"],
        "violence_aiding_and_abetting_incitement": ["violence", "physical_harm"],
    },
    "beavertails-v": {
        "animal_abuse": ["animal_abuse"],
        "dangerous_behavior": ["physical_harm"],
        "deception_in_personal_relationships": ["mental_manipulation"],
        "discriminatory_depictions": ["discriminatory_behavior"],
        "environmental_damage": ["environmental_damage"],
        "false_information": [],
        "financial_and_academic_fraud": ["economic_crime", "white_collar_crime"],
        "hacking_or_digital_crime": ["cybercrime"],
        "harmful_health_content": ["endangering_public_health"],
        "horror_and_gore": ["violence", "psychological_harm"],
        "identity_misuse_and_impersonation": ["privacy_violation", "economic_crime"],
        "insulting_and_harassing_behavior": ["insulting_behavior"],
        "pornographic_content": ["sexual_content"],
        "privacy_invasion_and_surveillance": ["privacy_violation"],
        "psychological_harm_and_manipulation": ["psychological_harm", "mental_manipulation"],
        "psychological_horror_and_dark_themes": ["psychological_harm"],
        "sensitive_information_in_key_areas": ["endangering_national_security"],
        "sexual_crimes": ["sexual_content", "physical_harm"],
        "terrorism_or_extremism": ["violence", "endangering_national_security"],
        "violence_and_physical_harm": ["violence", "physical_harm"],
    },
}


def in_safe_rlhf(pack: str, harm: str) -> list[str]:
    """Return the keys of PKU-SafeRLHF's categories that a category of `pack` corresponds to; none for some."""
    if pack == SAFE_RLHF.name:
        return [harm]
    return _TO_SAFE_RLHF[pack].get(harm, [])
