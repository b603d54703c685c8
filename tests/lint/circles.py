"""Files of one room that call each other in a circle: there is no order to read them in, and none can be tested
without the others.

What a file needs is read from its object, where nothing is hidden behind a header that several share: a symbol
that it uses and another file of its room defines. Calls through a pointer that was handed down do not count;
that is how a circle is untied.
"""

import pathlib
import subprocess

import layers

def symbols(objects):
    """Object -> (the names it defines for others, the names it needs)."""
    output = subprocess.run(["nm", "-A", "-g", *map(str, objects)], capture_output=True, text=True, check=True).stdout
    found = {o: (set(), set()) for o in objects}
    for line in output.splitlines():
        path, rest = line.rsplit(":", 1)
        *_, kind, name = rest.split()
        defines, needs = found[pathlib.Path(path)]
        (needs if kind in "Uw" else defines).add(name)
    return found


def needs_of(objects):
    """Object -> the others that it needs, by the name of the file."""
    found = symbols(objects)
    home = {name: o.stem for o, (defines, _) in found.items() for name in defines}
    return {o.stem: {home[name] for name in needs if name in home} - {o.stem} for o, (_, needs) in found.items()}


def circles(graph):
    """The sets of files that reach each other, each sorted."""
    reach = {}
    for start in graph:
        seen, todo = set(), [start]
        while todo:
            for other in graph[todo.pop()] - seen:
                seen.add(other)
                todo.append(other)
        reach[start] = seen
    return sorted({tuple(sorted(b for b in graph if b in reach[a] and a in reach[b])) for a in graph if a in reach[a]})


def check(build, root=layers.ROOT, rooms=layers.ROOMS):
    """Every circle of the objects beneath @build, as a sentence. An object whose source is gone is of an older build."""
    problems = []
    for room in rooms:
        objects = [o for o in sorted(pathlib.Path(build, room).glob("*.o")) if (root / room / f"{o.stem}.c").exists()]
        if objects:
            problems += [f"{room}: {', '.join(c)} call each other in a circle" for c in circles(needs_of(objects))]
    return problems
