"""The numbers that Word shows before headings and list items, which its files leave to be computed."""

from collections import defaultdict
from dataclasses import dataclass, field

from lxml import etree

from indexing.convert.ooxml import find, find_all, local, local_name

MAX_LEVEL = 8
_ROMAN = ((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl"), (10, "x"),
          (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Level:
    format: str
    text: str
    start: int


def number_text(number: int, form: str) -> str:
    """A number as Word writes it in a form such as `lowerRoman`; forms of other scripts are written in digits."""
    if form.endswith("Letter") and number > 0:
        letter = chr(ord("a") + (number - 1) % 26) * min((number - 1) // 26 + 1, 10)
        return letter.upper() if form.startswith("upper") else letter
    if form.endswith("Roman") and 0 < number < 4000:
        roman = ""
        for value, digits in _ROMAN:
            roman += digits * (number // value)
            number %= value
        return roman.upper() if form.startswith("upper") else roman
    return str(number)


@dataclass
class Numbering:
    """Counts through a document's numbered paragraphs, in order."""

    levels: dict[str, dict[int, _Level]] = field(default_factory=dict)  # list id → level
    groups: dict[str, str] = field(default_factory=dict)  # list id → abstract list id: these count together
    styles: dict[str, tuple[str, int]] = field(default_factory=dict)  # paragraph style → list id, level
    counters: dict[str, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))
    restarted: set[tuple[str, int]] = field(default_factory=set)
    overrides: dict[tuple[str, int], int] = field(default_factory=dict)

    @classmethod
    def of(cls, numbering: etree._Element | None, styles: etree._Element | None) -> "Numbering":
        """Read the definitions of a document; either part may be missing."""
        self = cls()
        if numbering is not None:
            self._read_lists(numbering)
        if styles is not None:
            self._read_styles(styles)
        return self

    def _read_lists(self, root: etree._Element) -> None:
        abstract = {local(one, "abstractNumId"): _levels(one) for one in root if local_name(one) == "abstractNum"}
        for one in root:
            if local_name(one) != "num":
                continue
            number, reference = local(one, "numId"), find(one, "abstractNumId")
            group = local(reference, "val") if reference is not None else ""
            self.groups[number] = group
            self.levels[number] = {**abstract.get(group, {}), **_levels(one)}
            for override in find_all(one, "lvlOverride"):
                start = find(override, "startOverride")
                if start is not None:
                    self.overrides[number, _int(local(override, "ilvl"))] = _int(local(start, "val"), 1)

    def _read_styles(self, root: etree._Element) -> None:
        parents: dict[str, str] = {}
        for style in root:
            name, parent = local(style, "styleId"), find(style, "basedOn")
            parents[name] = local(parent, "val") if parent is not None else ""
            if (reference := _reference(find(style, "pPr"))) is not None:
                self.styles[name] = reference
        for name in parents:
            ancestor, seen = name, {name}
            while ancestor not in self.styles and (ancestor := parents.get(ancestor, "")) and ancestor not in seen:
                seen.add(ancestor)
            if ancestor in self.styles:
                self.styles.setdefault(name, self.styles[ancestor])

    def next(self, paragraph: etree._Element) -> str:
        """The number that stands before the next paragraph; empty for bullets and plain text."""
        properties = find(paragraph, "pPr")
        style = find(properties, "pStyle") if properties is not None else None
        reference = _reference(properties)
        inherited = self.styles.get(local(style, "val")) if style is not None else None
        if reference is not None and inherited is not None and not reference[0]:
            reference = (inherited[0], reference[1])
        reference = reference or inherited
        if reference is None or reference[0] not in self.levels:
            return ""
        return self._count(*reference)

    def _count(self, number: str, depth: int) -> str:
        levels = self.levels[number]
        level = levels.get(depth)
        if level is None:
            return ""
        counters = self.counters[self.groups[number]]
        if (number, depth) in self.overrides and (number, depth) not in self.restarted:
            self.restarted.add((number, depth))
            counters[depth] = self.overrides[number, depth]
        else:
            counters[depth] = counters.get(depth, level.start - 1) + 1
        for deeper in [one for one in counters if one > depth]:
            del counters[deeper]
        if level.format in ("bullet", "none"):
            return ""
        text = level.text
        for other in range(depth + 1):
            shown = levels.get(other, level)
            count = counters.setdefault(other, shown.start)
            text = text.replace(f"%{other + 1}", number_text(count, shown.format))
        return text.strip()


def _levels(element: etree._Element) -> dict[int, _Level]:
    levels = {}
    for one in find_all(element, "lvl"):
        values = {local_name(child): local(child, "val") for child in one}
        levels[_int(local(one, "ilvl"))] = _Level(
            format=values.get("numFmt", "decimal"),
            text=values.get("lvlText", ""),
            start=_int(values.get("start", ""), 1),
        )
    return levels


def _reference(properties: etree._Element | None) -> tuple[str, int] | None:
    """The list and the level that a paragraph or a style names."""
    numbering = find(properties, "numPr") if properties is not None else None
    if numbering is None:
        return None
    number, level = find(numbering, "numId"), find(numbering, "ilvl")
    identifier = local(number, "val") if number is not None else ""
    return identifier, min(_int(local(level, "val")) if level is not None else 0, MAX_LEVEL)


def _int(value: str, otherwise: int = 0) -> int:
    return int(value) if value.isdecimal() and len(value) < 8 else otherwise
