"""Bugs put (back) into the relay's core, one at a time, and how long the simulation takes to find each.

    python3 tests/simulation/mutations.py [--seconds 120] [--seed 1] [NAME...]

works in a copy of the tree and prints a table in Markdown. The exit code is 1 where one was not found, 2 where a text to be
changed is not there any more: the code has changed, and so must the table.
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Name, what it is, file, text, and what stands in its place.
MUTATIONS = [
    ("1a", "a synced topic goes back to reading, and nobody is told of the gap", "relay/bus/topic_sync.c",
     "        h->misses = true;\n        notify_gap_to_all(t, 0);\n", ""),
    ("1b", "a topic is freed, and its reads are not forgotten", "relay/bus/topic_sync.c",
     "void topic_sync_fini(struct bus_topic *t) {\n    topic_read_cancel_all(t);", "void topic_sync_fini(struct bus_topic *t) {"),
    ("4", "a last id that was forgotten, with nothing lost, is a loss", "relay/bus/tracker.c",
     "        is_linked = is_in_sight(t, clock, now_ms) && (t->rootless || is_old(clock, top, id->ms));",
     "        is_linked = false, (void)now_ms;"),
    ("5", "an event that memory is short for is passed over", "relay/bus/replay_slice.c",
     "            note_lost(s, rc);", "            (void)note_lost;"),
    ("6", "a late answer of an old probe counts", "relay/bus/probe.c",
     " && n->probe.nonce == sent->nonce)", ")"),
    ("twice", "a stream that is not live gets what comes as well", "relay/hub/hub.c",
     "s->state != SUBSCRIBER_LIVE || cursor_covers(&s->cursor, &e->id)", "cursor_covers(&s->cursor, &e->id)"),
    ("lagging", "a gap leaves streams live", "relay/hub/hub.c",
     "        if (s->state == SUBSCRIBER_LIVE)\n            subscriber_set_state(s, SUBSCRIBER_LAGGING);\n        replay_want(s);",
     "        replay_want(s);"),
    ("hole", "a hole that was told hides the next one for ever", "relay/hub/catch_up.c",
     "    bool known = sub->in_hole && (reset & another) == 0 &&",
     "    bool known = (sub->in_hole || s_told++ > 0) && (reset & another) == 0 &&"),
    ("barrier", "what was read counts before the channel has come as far", "relay/bus/clock_reader.c",
     "        advance_later(d, &fresh.position);\n        fresh.position = d->clock.position;\n",
     "        d->reads.done++;\n"),
    ("overflow", "an event that a full queue refused is not told", "relay/bus/deliver.c",
     "    i->gap_reasons = reasons;\n    notify_gap(t, worker, reasons);", "    i->gap_reasons = reasons;"),
    ("page", "a page whose beginning is missing is not told", "relay/bus/replay.c",
     "        return page_misses(page, &w->pos);", "        return false;"),
    ("note", "a cursor beyond what a failover kept is taken", "relay/bus/domain_clock.c",
     "    if (epoch != cursor->epoch || is_behind(cursor, pos) ||", "    if (epoch != cursor->epoch ||"),
    ("kept", "messages that came while a topic was read are dropped", "relay/bus/topic_sync.c",
     "    take_kept(t);\n}", "    drop_kept(t);\n    (void)take_kept;\n}"),
    ("room", "a stream whose outbox has drained does not ask for more", "relay/hub/subscriber_life.c",
     "    if (s->state == SUBSCRIBER_LAGGING || s->state == SUBSCRIBER_REPLAY)\n        replay_want(s);", ""),
    ("missed", "what reading anew finds was not announced, and streams that have passed it are not told",
     "relay/bus/topic_sync.c", "    h->misses = h->tracker.known;", "    h->misses = false;"),
    ("unreadable", "an event that no relay takes is passed over", "relay/bus/replay_slice.c",
     "    s->reasons |= rc == RELAY_ENOMEM ? RESET_LIMIT : RESET_TRIMMED;",
     "    s->reasons |= rc == RELAY_ENOMEM ? RESET_LIMIT : 0;"),
    ("demoted", "a node that has found a replica takes no notice of a master", "relay/bus/server_info.c",
     "    else if (s.role == REDIS_ROLE_MASTER)\n        found_master(n);",
     "    else if (n->server.is_replica)\n        redis_client_back_off(&n->publisher);\n    else if (s.role == REDIS_ROLE_MASTER)\n        found_master(n);"),
    ("leak", "a page that nobody holds is not freed", "relay/bus/log_pages.c",
     "    if (p->topic == NULL) {\n        page_free(p);\n        return;\n    }", "    if (p->topic == NULL)\n        return;"),
    ("vanished", "what is gone with a topic's keys is left to cursors to tell", "relay/bus/tracker.c",
     "        news.reasons = RESET_TRIMMED;\n        news.vanished =", "        news.vanished ="),
]
# Text that a mutation needs elsewhere in its file.
PREFIXES = {"hole": "static unsigned s_told;\n"}


def build(tree):
    make = subprocess.run(["make", "-C", tree, "--no-print-directory", f"-j{os.cpu_count()}",
                           "build/tests/simulation/simulate"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if make.returncode != 0:
        sys.exit(f"a mutation does not compile:\n{make.stdout[-3000:]}")


def apply(tree, name, file, old, new):
    path = tree / file
    text = path.read_text()
    if text.count(old) != 1:
        print(f"{name}: its text stands {text.count(old)} times in {file}; see tests/simulation/mutations.py", file=sys.stderr)
        sys.exit(2)
    changed = text.replace(old, new)
    if name in PREFIXES:
        at = changed.index("\nstatic ")
        changed = changed[:at + 1] + PREFIXES[name] + changed[at + 1:]
    path.write_text(changed)
    return lambda: path.write_text(text)


def hunt(tree, seconds, seed):
    """What was found, in how many worlds, steps and seconds; None: nothing."""
    run = subprocess.run([tree / "build/tests/simulation/simulate", "--seconds", str(seconds), "--seed", str(seed),
                          "--no-shrink"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    figures = re.search(r"(\d+) worlds, (\d+) steps in ([\d.]+) s", run.stdout)
    rule = re.search(r"world (\d+) breaks the rule \"(\w+)\"", run.stdout)
    return figures.groups(), rule and rule.groups()


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--seconds", type=int, default=120)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("names", nargs="*")
    options = options.parse_args()
    missed = 0
    with tempfile.TemporaryDirectory() as directory:
        tree = pathlib.Path(directory) / "tree"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns("build", ".git", "node_modules"))
        build(tree)
        print("| put back | what | rule | worlds | steps | seconds |\n|---|---|---|---|---|---|", flush=True)
        for name, what, file, old, new in MUTATIONS:
            if options.names and name not in options.names:
                continue
            undo = apply(tree, name, file, old, new)
            build(tree)
            (worlds, steps, seconds), found = hunt(tree, options.seconds, options.seed)
            undo()
            missed += found is None
            rule = f"`{found[1]}`" if found else "**not found**"
            print(f"| {name} | {what} | {rule} | {int(worlds):,} | {int(steps):,} | {seconds} |", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
