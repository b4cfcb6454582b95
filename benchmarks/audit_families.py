"""Families against pymatgen's StructureMatcher and against what the source says, pair by pair.

Run ``python benchmarks/audit_families.py structures.jsonl.gz [more.jsonl.gz ...]``. Files hold ``{"material_id", "structure"}``
lines. Pairs of one formula within a file, which the source holds to be different materials, are compared with families and with
the matcher at its default tolerances, in both directions; every disagreement is listed with what hibana sees in the pair. Pairs
of one ``material_id`` in two files are one material, relaxed differently: how many of them are in one family is the recall.
Results go to ``benchmarks/results/families.json``.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import random
import time
import warnings
from collections import Counter, defaultdict
from pathlib import Path

from pymatgen.core import Composition, Structure

from hibana.structures.identity import make_candidate
from hibana.structures.intake import packed
from hibana.structures.matching import Bucket, Member, difference, find_families, make_matcher
from hibana.structures.reading import ReadStructure

PYMATGEN = {"ltol": 0.2, "stol": 0.3, "angle_tol": 5.0}


def read(path: Path, rng: random.Random, formulas: int, largest: int) -> dict[str, dict[str, dict]]:
    """Structures by formula and name: a random choice of formulas with several structures, of each at most ``largest``."""
    groups: dict[str, dict[str, dict]] = defaultdict(dict)
    with gzip.open(path, "rt") as file:
        for line in file:
            entry = json.loads(line)
            if "material_id" in entry:
                symbols = Counter(site["species"][0]["element"] for site in entry["structure"]["sites"])
                groups[Composition(symbols).reduced_formula][entry["material_id"]] = entry["structure"]
    several = sorted(formula for formula, group in groups.items() if len(group) > 1)
    chosen = rng.sample(several, min(formulas, len(several)))
    return {formula: {name: groups[formula][name] for name in sample(groups[formula], largest, rng)} for formula in chosen}


def sample(names, size: int, rng: random.Random) -> list[str]:
    return sorted(rng.sample(sorted(names), min(size, len(names))))


def member(structure: dict) -> Member:
    candidate = make_candidate(ReadStructure(Structure.from_dict(structure), ""))
    return Member(candidate.structure_key, packed(candidate.crystal))


def compare(groups: dict[str, dict[str, dict]]) -> tuple[Counter, list[dict]]:
    """How often families and matcher agree, and every pair on which they do not."""
    matcher, counts, listed = make_matcher(**PYMATGEN), Counter(), []
    for formula, group in groups.items():
        members = {name: member(structure) for name, structure in group.items()}
        crystals = {item.key: packed(item.crystal) for item in members.values()}
        family = find_families(Bucket(tuple(crystals.items()), ())).family
        for one, other in itertools.combinations(sorted(members), 2):
            first, second = members[one], members[other]
            together = family[first.key] == family[second.key]
            fits = [
                matcher.fit(a.reduced, b.reduced, skip_structure_reduction=True) for a, b in ((first, second), (second, first))
            ]
            counts["asymmetric"] += int(fits[0] != fits[1])
            counts[f"family {together}, matcher {any(fits)}"] += 1
            if together != any(fits):
                listed.append(describe(formula, one, other, first, second, together, matcher))
    return counts, listed


def describe(formula: str, one: str, other: str, first: Member, second: Member, together: bool, matcher) -> dict:
    distance = matcher.get_rms_dist(first.reduced, second.reduced)
    return {
        "formula": formula,
        "pair": [one, other],
        "together": together,
        "because": difference(first, second) or "alike",
        "space_groups": [sorted(first.space_groups), sorted(second.space_groups)],
        "largest_distance": None if distance is None else round(float(distance[1]), 4),
    }


def recall(paths: list[Path], rng: random.Random, pairs: int) -> dict:
    """Pairs of one name in two files: how many are alike, and what separates the others."""
    held: dict[str, list[tuple[str, dict]]] = defaultdict(list)
    for path in paths:
        with gzip.open(path, "rt") as file:
            for line in file:
                entry = json.loads(line)
                if "material_id" in entry:
                    held[entry["material_id"]].append((path.parent.name, entry["structure"]))
    several = sorted(name for name, group in held.items() if len(group) > 1)
    differ = []
    chosen = rng.sample(several, min(pairs, len(several)))
    for name in chosen:
        (place, one), (other_place, other) = held[name][:2]
        first, second = member(one), member(other)
        said = difference(first, second)
        if said is not None:
            groups = [sorted(first.space_groups), sorted(second.space_groups)]
            differ.append({"name": name, "files": [place, other_place], "because": said, "space_groups": groups})
    return {"pairs": len(chosen), "alike": len(chosen) - len(differ), "different": differ}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--formulas", type=int, default=300, help="formulas with several structures to look at")
    parser.add_argument("--largest", type=int, default=25, help="structures of one formula at most")
    parser.add_argument("--known", type=int, default=400, help="materials in two files to look at")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "results" / "families.json")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    rng, start = random.Random(arguments.seed), time.process_time()
    counts, listed = compare(read(arguments.files[0], rng, arguments.formulas, arguments.largest))
    known = recall(arguments.files, rng, arguments.known)
    print(f"{sum(number for name, number in counts.items() if name != 'asymmetric')} pairs of one formula: {dict(counts)}")
    print("| formula | pair | one family | hibana sees | space groups | largest distance |\n|---|---|---|---|---|---|")
    for item in listed:
        groups = " / ".join(", ".join(map(str, numbers)) for numbers in item["space_groups"])
        words = (item["formula"], ", ".join(item["pair"]), item["together"], item["because"], groups, item["largest_distance"])
        print("| " + " | ".join(map(str, words)) + " |")
    print(f"one material in two files: {known['alike']} of {known['pairs']} in one family; {known['different']}")
    result = {"counts": counts, "disagreements": listed, "known": known, "cpu_seconds": time.process_time() - start}
    arguments.output.parent.mkdir(exist_ok=True)
    arguments.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
