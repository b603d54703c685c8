"""The proof of "nothing is lost in silence": a minute of everything at once (see chaos.py), always with the same seed."""

import chaos


def test_a_minute_of_chaos(tmp_path, npm):
    """Each acknowledged event exactly once and in order at each reader, and no reset, since nothing explains one."""
    run = chaos.Run(tmp_path, seconds=60, seed="1")
    held = run.go()
    print(run.text())
    assert held, run.text()
    for fault in ("kill redis", "kill a relay", "drain a relay", "client kill pubsub", "client kill normal", "stall redis"):
        assert run.counts[f"fault: {fault}"], f"the seed brings no {fault}"
    assert run.counts["acknowledged"] > 1000 and run.counts["connections"] > 100
