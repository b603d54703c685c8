"""The checker itself: it accepts what keeps the promise, and sees each way to break it. Histories are written by hand;
an id is a number here, ms of the birth "b".
"""

import pytest
from checker import Checker, Connection, Published, Reader, Seen, unreached
from sse import Event


def at(number, epoch="1", birth="b"):
    return f"{birth}.{epoch}.{number}-0"


def event(topic, number, label=None, **where):
    return Seen(0.0, "event", topic, label or f"n{number}", at(number, **where))


def live(number, **where):
    return Seen(0.0, "live", id=at(number, **where))


def reset(reason, number, *topics, **where):
    return Seen(0.0, "reset", id=at(number, **where), topics=topics, reason=reason)


def connection(cursor, *seen):
    made = Connection(0.0, "relay", at(cursor) if isinstance(cursor, int) else cursor)
    made.seen = list(seen)
    return made


def published(topic, *numbers):
    return [Published(topic, f"n{n}", at(n), 0.0, "relay") for n in numbers]


ALL = published("a", 1, 3, 5, 7) + published("b", 2, 4, 6, 8)


def judge(*connections, topics="ab", history=ALL, allow=("trimmed", "birth", "limit", "failover"), **how):
    reader = Reader("reader", topics)
    reader.connections = list(connections)
    checker = Checker(history, [reader], lambda reason, names: reason in allow, **how)
    return checker.run()


def kinds(*connections, **how):
    return dict(judge(*connections, **how).kinds())


def good(*connections, **how):
    report = judge(*connections, **how)
    assert not report.violations, [str(v) for v in report.violations]
    return report


def a_and_b(*numbers):
    return [event("a" if n % 2 else "b", n) for n in numbers]


def test_everything_came():
    good(connection(None, live(0), *a_and_b(1, 2, 3, 4, 5, 6, 7, 8)))


def test_over_several_connections():
    """Cut in the middle, before its first event, and twice before anything came."""
    good(
        connection(None),
        connection(None, live(0)),
        connection(0, *a_and_b(1, 2)),
        connection(2),
        connection(2, *a_and_b(3, 4, 5), live(5), event("b", 6)),
        connection(6, live(6), *a_and_b(7, 8)),
    )


def test_one_topic_of_two():
    """Events of topics that the reader did not ask for are not owed, and may not come."""
    good(connection(None, live(0), *a_and_b(1, 3, 5, 7)), topics="a")
    assert kinds(connection(None, live(0), *a_and_b(1, 2, 3, 5, 7)), topics="a") == {"unasked": 1}


def test_nothing_is_owed_from_before_the_first_place():
    good(connection(None, live(4), *a_and_b(5, 6, 7, 8)))
    good(connection(None, *a_and_b(5, 6), live(6), *a_and_b(7, 8)))


def test_lost_in_the_middle():
    assert kinds(connection(None, live(0), *a_and_b(1, 2, 4, 5, 6, 7, 8))) == {"lost": 1}


def test_lost_between_two_connections():
    report = judge(connection(None, live(0), *a_and_b(1, 2)), connection(2, live(4), *a_and_b(5, 6, 7, 8)))
    assert report.kinds() == {"lost": 2} and at(3) in str(report.violations[0])


def test_lost_where_the_cursor_of_another_topic_passed_it():
    """The invariant of the design: a cursor never passes an event of its topics that was not sent."""
    assert kinds(connection(None, live(0), *a_and_b(1, 2, 3, 5)), connection(5, *a_and_b(6, 7, 8))) == {"lost": 1}


def test_lost_before_relay_live():
    """relay.live says that nothing up to it is missing."""
    assert kinds(connection(0, *a_and_b(1, 2), live(8))) == {"lost": 6}


def test_end_is_not_owed_but_the_marker_is():
    """Beyond the last place the checker owes nothing: that a reader stops too early is seen by the markers."""
    good(connection(None, live(0), *a_and_b(1, 2)))
    reader = Reader("reader", "ab")
    reader.connections = [connection(None, live(0), *a_and_b(1, 2, 3, 4, 5, 6, 7))]
    assert [v.kind for v in unreached([reader], {"a": at(7), "b": at(8)})] == ["stuck"]
    reader.connections[0].seen.append(event("b", 8))
    assert not unreached([reader], {"a": at(7), "b": at(8)})
    assert [v.kind for v in unreached([Reader("other", "a")], {"a": at(7)})] == ["stuck"]


def test_doubled_on_a_connection():
    assert kinds(connection(None, live(0), *a_and_b(1, 2, 2, 3, 4, 5, 6, 7, 8))) == {"doubled": 1}


def test_doubled_over_connections():
    assert kinds(connection(None, live(0), *a_and_b(1, 2, 3)), connection(3, *a_and_b(2, 4, 5, 6, 7, 8)))["doubled"] == 1


def test_at_the_cursor_it_came_with():
    """Not above the cursor, though never seen: it starts at 3."""
    assert kinds(connection(3, *a_and_b(3, 4, 5, 6, 7, 8))) == {"disordered": 1}


def test_disordered_within_a_topic_and_across():
    assert "disordered" in kinds(connection(None, live(0), *a_and_b(1, 3, 2, 4, 5, 6, 7, 8)))
    assert "disordered" in kinds(connection(None, live(0), *a_and_b(3, 1, 5, 7)), topics="a")


def test_not_above_relay_live():
    assert kinds(connection(None, live(4), *a_and_b(3, 5, 6, 7, 8))) == {"disordered": 1}


def test_relay_live_below_what_came():
    assert kinds(connection(None, *a_and_b(1, 2, 3), live(2), *a_and_b(4, 5, 6, 7, 8)))["backwards"] == 1


def test_reader_that_comes_with_another_cursor_than_it_holds():
    """A bug of the test's own reader, or of a client."""
    assert "cursor" in kinds(connection(None, live(0), *a_and_b(1, 2)), connection(1, *a_and_b(3, 4)))


def test_unacknowledged_at_most_once():
    history = ALL + [Published("a", "maybe", None, 0.0, "relay"), Published("b", "never", None, 0.0, "relay")]
    middle = Seen(0.0, "event", "a", "maybe", at(4).replace("-0", "-1"))
    around = [*a_and_b(1, 2, 3, 4), middle, *a_and_b(5, 6, 7, 8)]
    report = good(connection(None, live(0), *around), history=history)
    assert report.counts["unacknowledged, seen"] == 1
    good(connection(None, live(0), *a_and_b(1, 2, 3, 4, 5, 6, 7, 8)), history=history)
    twice = middle._replace(id=at(6).replace("-0", "-1"))
    around.insert(-2, twice)
    assert kinds(connection(None, live(0), *around), history=history) == {"two ids": 1}


def test_what_one_saw_is_owed_to_all():
    history = ALL + [Published("a", "maybe", None, 0.0, "relay")]
    middle = Seen(0.0, "event", "a", "maybe", at(4).replace("-0", "-1"))
    one, other = Reader("one", "ab"), Reader("other", "ab")
    one.connections = [connection(None, live(0), *a_and_b(1, 2, 3, 4), middle, *a_and_b(5, 6, 7, 8))]
    other.connections = [connection(None, live(0), *a_and_b(1, 2, 3, 4, 5, 6, 7, 8))]
    report = Checker(history, [one, other]).run()
    assert [(v.kind, v.reader) for v in report.violations] == [("lost", "other")]


def test_never_published_and_other_content():
    assert "foreign" in kinds(connection(None, live(0), event("a", 1, "x"), *a_and_b(2, 3, 4, 5, 6, 7, 8)))
    assert "one id twice" in kinds(connection(None, live(0), event("a", 1, "n3"), *a_and_b(2, 4, 5, 6, 7, 8)))


def test_id_of_a_publisher_twice():
    history = published("a", 1) + [Published("a", "n2", at(1), 0.0, "relay")]
    assert kinds(connection(None, live(0), event("a", 1)), topics="a", history=history) == {"one id twice": 1}


def test_numbers_compare_and_not_text():
    history = published("a", "9", "z", "10")
    good(connection(None, live(0), *[event("a", n) for n in ("9", "z", "10")]), topics="a", history=history)
    history = [Published("a", "n1", at(1, "z"), 0.0, "r"), Published("a", "n0", at(0, "10"), 0.0, "r")]
    good(connection(None, event("a", 1, epoch="z"), event("a", 0, epoch="10")), topics="a", history=history)


# ---- resets ----


def test_reset_excuses_what_was_trimmed():
    """The topic that it names, from the cursor to the first event behind it."""
    report = good(connection(0, reset("trimmed", 0, "a"), *a_and_b(2, 4, 5, 6, 7, 8), live(8)))
    assert report.counts["told by a reset"] == 2 and report.counts["resets (trimmed)"] == 1


def test_reset_before_a_quiet_topic_ends_at_relay_live():
    good(connection(0, reset("trimmed", 0, "a", "b"), live(6), *a_and_b(7, 8)))
    assert kinds(connection(0, reset("trimmed", 0, "a", "b"), live(6), event("b", 8))) == {"lost": 1}


def test_reset_does_not_excuse_another_topic():
    assert kinds(connection(0, reset("trimmed", 0, "a"), *a_and_b(4, 5, 6, 7, 8))) == {"lost": 1}


def test_reset_does_not_excuse_what_came_before_the_cursor():
    first = connection(None, live(0), *a_and_b(2, 3))
    assert kinds(first, connection(3, reset("trimmed", 3, "a"), *a_and_b(4, 6, 7, 8))) == {"lost": 1}


def test_reset_does_not_excuse_holes_behind_the_first_event():
    assert kinds(connection(0, reset("trimmed", 0, "a"), *a_and_b(2, 3, 4, 6, 7, 8))) == {"lost": 1}


def test_reset_that_was_cut_off_has_to_be_told_again():
    told = reset("trimmed", 0, "a")
    good(connection(0, told), connection(0, told, *a_and_b(2, 4, 5, 6, 7, 8)))
    assert kinds(connection(0, told), connection(0, *a_and_b(2, 4, 5, 6, 7, 8))) == {"lost": 2}


@pytest.mark.parametrize("reason", ["limit", "birth", "failover"])
def test_reset_with_a_place_excuses_up_to_it(reason):
    good(connection(0, reset(reason, 4, "a", "b"), *a_and_b(5, 6, 7, 8)))
    assert kinds(connection(0, reset(reason, 4, "a", "b"), *a_and_b(6, 7, 8))) == {"lost": 1}


def test_reset_live_excuses_no_durable_event():
    assert kinds(connection(0, reset("live", 4, "a", "b"), *a_and_b(5, 6, 7, 8)), allow=["live"]) == {"lost": 4}


def test_reset_excuses_neither_twice_nor_disorder():
    everything = a_and_b(1, 2, 3, 4, 5, 6, 7, 8)
    assert "doubled" in kinds(connection(0, *everything, reset("failover", 4, "a", "b"), event("a", 5)))
    assert "disordered" in kinds(connection(0, reset("limit", 4, "a", "b"), *a_and_b(3, 5, 6, 7, 8)))


def test_what_is_gone_may_come_again_behind_a_reset_that_said_so():
    some, kept = connection(None, live(0), *a_and_b(1, 2, 3, 4, 5, 6)), {at(n) for n in (1, 2, 3, 4)}
    told = connection(6, reset("failover", 4, "a", "b"))
    again = connection(4, *a_and_b(5, 6), reset("failover", 4, "a", "b"))
    assert "doubled" not in kinds(some, told, again, kept=kept, tail_lost=True)
    assert "doubled" in kinds(some, connection(6, *a_and_b(5, 6)), kept=kept, tail_lost=True)
    back = connection(4, *a_and_b(4))
    assert "doubled" in kinds(some, told, back, kept=kept, tail_lost=True)


def test_reset_that_nothing_explains():
    assert kinds(connection(0, reset("trimmed", 0, "a"), *a_and_b(1, 2, 3, 4, 5, 6, 7, 8)), allow=()) == {
        "unexpected reset": 1
    }


def test_another_birth_has_to_be_told():
    history = ALL + [Published("a", "new", at(1, birth="c"), 1.0, "relay")]
    new = Seen(1.0, "event", "a", "new", at(1, birth="c"))
    first = connection(None, live(0), *a_and_b(1, 2, 3, 4, 5, 6, 7, 8))
    good(first, connection(8, reset("birth", 0, "a", "b", birth="c"), new), history=history)
    assert kinds(first, connection(8, new), history=history) == {"untold": 1}


def test_lost_tail():
    """A failover: nobody is owed what Redis lost, but what it kept is owed."""
    kept = {at(n) for n in (1, 2, 3, 4, 5, 7, 8)}
    some = connection(None, live(0), *a_and_b(1, 2, 3, 4, 5, 7, 8))
    good(some, kept=kept, tail_lost=True)
    assert kinds(some, kept=kept) == {"lost": 1, "vanished": 1}
    assert kinds(connection(None, live(0), *a_and_b(1, 2, 3, 4, 7, 8)), kept=kept, tail_lost=True) == {"lost": 1}


def test_lost_tail_that_was_seen_has_to_be_told():
    """Before anything of the next epoch comes; who has left is not owed a word."""
    new = [event("a", 7, epoch="2"), event("b", 8, epoch="2")]
    history = ALL[:3] + ALL[4:7] + [Published(e.topic, e.label, e.id, 0.0, "relay") for e in new]
    how = {"kept": {at(n) for n in (1, 2, 3, 4)} | {e.id for e in new}, "tail_lost": True, "history": history}
    first = connection(None, live(0), *a_and_b(1, 2, 3, 4, 5, 6))
    told = reset("failover", 4, "a", "b")
    good(first, **how)
    good(first, connection(6, told, *new), **how)
    good(first, connection(6, told), connection(4, *new), **how)
    assert kinds(first, connection(6, *new), **how) == {"untold": 2}
    assert kinds(first, connection(6, live(7, epoch="2")), **how) == {"untold": 2, "lost": 1}
    assert kinds(first, connection(6, reset("failover", 4, "a"), *new), **how) == {"untold": 1}
    assert kinds(first, connection(6, new[0], told, new[1]), **how)["untold"] == 2


def test_lost_tail_that_is_published_again():
    """A retry with its key, which was lost too: another event, with another id."""
    kept = {at(1), at(3)}
    history = [Published("a", "n1", at(1), 0.0, "r"), Published("a", "n2", at(3), 0.0, "r")]
    first = connection(None, live(0), event("a", 1), event("a", 2))
    again = connection(2, reset("failover", 1, "a"), event("a", 3, "n2"))
    good(first, again, topics="a", history=history, kept=kept, tail_lost=True)
    assert "two ids" in kinds(first, again, topics="a", history=history)


# ---- reading a stream ----


def test_notes_of_a_stream():
    made = Connection(0.0, "relay", None)
    made.take(0.0, Event("relay.live", '{"topics":["a"]}', at(1)))
    made.take(0.0, Event("message", '{"topic":"a","event":null,"id":"b.1.2-0","time":2,"data":"n2 and more"}', at(2)))
    made.take(0.0, Event("relay.reset", '{"topics":["a"],"reason":"limit"}', at(3)))
    assert not made.take(0.0, Event("message", '{"topic":"a","event":null,"id":null,"time":2,"data":"live"}', at(2)))
    assert not made.take(0.0, Event("relay.ping", "{}", at(2)))
    assert made.seen == [live(1), event("a", 2), reset("limit", 3, "a")]
    with pytest.raises(ValueError):
        made.take(0.0, Event("message", '{"topic":"a","event":null,"id":"b.1.2-0","time":2,"data":"x"}', at(3)))
